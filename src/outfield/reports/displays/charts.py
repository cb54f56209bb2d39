"""Charts that several displays and analyses draw: measures of models against each other, estimates below each other."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.results import Results
from outfield.types import Estimate


def scatter(results: Results, x: str, y: str, height: int = 380) -> alt.TopLevelMixin:
    """Two measures of the models: strategies large, with the range of their seeds, models small."""
    mark, titles = style.family(results.families), axis_titles(results)
    place = place_of(x, results)
    right, up = across(x, titles[x], results), style.up(y, titles[y])
    tips = [style.name("strategy", "strategy"), style.name("family", "family")]
    tips += [style.tip(x, titles[x].partition(" (")[0]), style.tip(y, titles[y])]
    models = placed(results.models.drop_nulls([x, y]), results)
    seeds = alt.Chart(style.rows(models)).mark_point(filled=True, size=22, opacity=0.35)
    known = placed(results.strategies.drop_nulls([x, y]), results)
    apart = known.with_columns(pl.col("error").log()) if place == "error" else known
    means = alt.Chart(style.rows(known.with_columns(label=style.labels(apart, place, y, "strategy"))))
    rule, large = means.mark_rule(opacity=0.5), means.mark_point(filled=True, size=130, opacity=1)
    return alt.layer(
        rule.encode(x=across(x, titles[x], results, "_low"), x2=f"{place}_high", y=up, color=mark["color"]),
        rule.encode(y=style.up(f"{y}_low", titles[y]), y2=f"{y}_high", x=right, color=mark["color"]),
        seeds.encode(x=right, y=up, tooltip=[style.name("model", "model"), *tips], **mark),
        large.encode(x=right, y=up, tooltip=tips, **mark),
        means.mark_text(align="left", dx=9, dy=-7, fontSize=11).encode(
            x=right, y=up, text="label:N", color=alt.value(style.INK)
        ),
    ).properties(width="container", height=height)


def axis_titles(results: Results) -> dict[str, str]:
    """Measures of models to the titles of their axes."""
    measure = results.measure
    scale = "log scale of the error" if measure.share else f"{measure.direction} is better"
    return {
        "ece": "ECE on the ID test set (15 bins)",
        "shifted": f"{measure.average} under shift",
        "auroc": "mean AUROC",
        results.performance: f"{measure.word} on the ID test set ({scale})",
    }


def place_of(x: str, results: Results) -> str:
    """The column in which a measure is drawn: of a performance that is a share, the error."""
    return "error" if x == results.performance and results.measure.share else x


def across(x: str, title: str, results: Results, end: str = "", ticks: Sequence[float] = style.ERRORS) -> alt.X:
    """The axis to the right of a measure of models, or of the ``end`` of its range."""
    place = place_of(x, results)
    return style.across_share(f"{place}{end}", title, ticks) if place == "error" else style.across(f"{x}{end}", title)


def placed(table: pl.DataFrame, results: Results) -> pl.DataFrame:
    """The table with the columns in which its performance is drawn."""
    return style.with_errors(table, results.n_id, results.performance) if results.measure.share else table


def cells(label: str, one: Estimate) -> dict[str, float | str | int]:
    """An estimate with its name, as a row of the table that ``strip`` draws.

    Examples
    --------
    >>> cells("knn", Estimate(0.9, 0.8, 0.95, n=12))
    {'name': 'knn', 'value': 0.9, 'low': 0.8, 'high': 0.95, 'n': 12}
    """
    return {"name": label, "value": one.value, "low": one.low, "high": one.high, "n": one.n}


def strip(
    table: pl.DataFrame, title: str, domain: tuple[float, float] | None = None, at: float | None = None
) -> alt.TopLevelMixin:
    """A dot and its interval for each name, in the order of the table; ``at`` draws a line.

    Examples
    --------
    >>> table = pl.DataFrame([cells(name, Estimate(0.9, 0.8, 0.95, n=12)) for name in ("knn", "msp")])
    >>> chart = strip(table, "AUROC", at=0.5).to_dict(validate=False)
    >>> len(chart["layer"]), chart["height"]
    (3, 40)
    """
    order = alt.Y("name:N", sort=table["name"].to_list(), title=None, axis=alt.Axis(labelLimit=190))
    scale = alt.Scale(domain=domain, clamp=True) if domain else alt.Scale(zero=False)
    axis = alt.Axis(title=title, tickCount=8)
    base = alt.Chart(style.rows(table.fill_nan(None)))
    coloured = "information" in table.columns
    colour = style.used(table["information"].to_list()) if coloured else alt.value(style.BLUE)
    tips = [style.name("name", "name"), *(style.tip(end, end) for end in ("value", "low", "high"))]
    tips += [style.tip("n", "n", "d")] if "n" in table.columns else []
    low, value = (alt.X(f"{field}:Q", axis=axis, scale=scale) for field in ("low", "value"))
    layers = [
        base.mark_rule(strokeWidth=2).encode(y=order, x=low, x2="high:Q", color=colour),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=order, x=value, color=colour, tooltip=tips),
    ]
    if at is not None:
        line = alt.Chart(style.rows(pl.DataFrame({"at": [float(at)]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
        layers.insert(0, line.encode(x=alt.X("at:Q", axis=axis, scale=scale)))
    return alt.layer(*layers).properties(width="container", height=20 * table.height)
