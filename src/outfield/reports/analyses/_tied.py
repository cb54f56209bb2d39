"""Sets of ties as a table, sentences and a picture: what the analyses of tied detectors and of tied models share."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import plural, with_and
from outfield.reports.displays import _style as style
from outfield.stats.ties import Ties

FEW = 5
"""Units below which a reader is told that ties mean little."""
MOST_SAID = 3
"""Sets of ties that the sentences name; the table holds all."""
MOST_LETTERS = 8
"""Sets whose letters the picture shows."""


def table(found: Ties) -> pl.DataFrame:
    """A row a name: its mean, how far behind the best with the interval, whether tied with it, and all its sets."""
    first = found.names[0]
    behind = found.frame().filter(pl.col("better") == first).drop("better", "tied")
    means = pl.DataFrame({"name": found.names, "mean": found.means, "sets": [*found.letters.values()]})
    named = behind.rename({"worse": "name", "difference": "behind"})
    best = pl.when(pl.col("name").is_in(found.best)).then(pl.lit("yes")).otherwise(pl.lit("no"))
    whole = means.join(named, on="name", how="left", maintain_order="left").with_columns(
        best.alias("tied with the best")
    )
    return whole.select("name", "mean", "behind", "low", "high", "p", "n", "tied with the best", "sets")


def said(found: Ties, what: str, measure: str, units: str) -> tuple[str, ...]:
    """Who is tied with the best, the other sets, and how that was decided."""
    return (_best(found, what, measure), _few(found, units), _others(found), _rule(found, units))


def _best(found: Ties, what: str, measure: str) -> str:
    first, value = found.names[0], found.means[0]
    others = [name for name in found.best if name != first]
    if not others:
        return f"{first} is best, with a mean {measure} of {value:.3f}, and no other {what} is tied with it."
    if len(others) == len(found.names) - 1:
        return f"None of {len(found.names)} {plural(what)} is told apart from the best, {first} ({value:.3f})."
    return (
        f"{first} has the best mean {measure}, {value:.3f}, and cannot be told apart from {with_and(others, most=8)}."
    )


def _few(found: Ties, units: str) -> str:
    if found.n_units >= FEW:
        return ""
    return f"But there are only {units}: so few tell little apart, however large a difference looks. Add some."


def _others(found: Ties) -> str:
    """The sets of ties, where there are not too many to name."""
    sets = [some for some in found.sets if len(some) > 1]
    if not sets:
        return "Every pair is told apart."
    if len(sets) == 1 and len(sets[0]) == len(found.names):
        return ""
    if len(sets) > MOST_SAID:
        return f"The ties overlap in {len(sets)} sets; names that share a letter of the table are in one."
    return f"Tied are {'; '.join('{' + ', '.join(some) + '}' for some in sets)}."


def _rule(found: Ties, units: str) -> str:
    return (
        f"Two are tied where their difference, paired over {units}, has p of {found.alpha:g} or more after Holm's "
        f"correction over all {len(found.pairs)} pairs: these data do not tell them apart, which is not to say they "
        "are equal. The intervals are of one difference each, not corrected."
    )


def picture(found: Ties, measure: str) -> alt.TopLevelMixin:
    """Means in their order, those tied with the best in colour, with the letters of their sets where few."""
    shown = table(found)
    base = alt.Chart(style.rows(shown))
    title = f"mean {measure} (blue: tied with the best)"
    across = alt.X("mean:Q", title=title, scale=alt.Scale(zero=False, padding=30))
    down = alt.Y("name:N", sort=[*found.names], title=None, axis=alt.Axis(labelLimit=190))
    colour = alt.Color(
        "tied with the best:N", scale=alt.Scale(domain=["yes", "no"], range=[style.BLUE, style.GREY]), legend=None
    )
    tips = [style.name("name", "name"), style.tip("mean", f"mean {measure}"), style.tip("behind", "behind the best")]
    layers = [base.mark_point(filled=True, size=70, opacity=1).encode(x=across, y=down, color=colour, tooltip=tips)]
    if len(found.sets) <= MOST_LETTERS:
        letters = base.mark_text(align="left", dx=9, fontSize=11)
        layers.append(letters.encode(x=across, y=down, text="sets:N", color=alt.value(style.INK)))
    return alt.layer(*layers).properties(width="container", height=20 * shown.height)
