"""Accuracy against detection: does the better classifier know its limits better?"""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.headline import number, without_families
from outfield.reports.results import Results
from outfield.stats import spearman
from outfield.types import Estimate

FEWEST = 3
TITLES = {
    "accuracy": "accuracy on the ID test set (log scale of the error)",
    "ece": "ECE on the ID test set (15 bins)",
    "shifted": "mean accuracy under shift",
    "auroc": "mean AUROC",
}
"""Measures of models to their axis titles."""


def accuracy_against_auroc(results: Results) -> Display:
    """Accuracy against mean AUROC: a small point a model, a large one a strategy with its seeds' spread."""
    found = results.correlation.whole
    caption = (
        f"Mean AUROC over {len(results.detectors)} detectors and {results.auroc['ood'].n_unique()} OOD sets, each "
        f"counting once, against accuracy. Small: a model; large: a strategy's mean, with the range of its seeds. "
        f"Spearman over {found.estimate.n} strategies {number(found.estimate)}, 95% interval (Bonett-Wright)."
    )
    figure = Figure(scatter(results, "accuracy", "auroc"))
    table = results.models.drop("shifted")
    return Display("accuracy", "Accuracy against OOD detection", caption, table, (figure,), legend="family")


def scatter(results: Results, x: str, y: str, height: int = 380) -> alt.TopLevelMixin:
    """Two measures of the models: strategies large, with the range of their seeds, models small."""
    mark, n = style.family(results.families), results.n_id
    axis, place = (style.across_accuracy, "error") if x == "accuracy" else (style.across, x)
    right, up = axis(place, TITLES[x]), style.up(y, TITLES[y])
    tips = [style.name("strategy", "strategy"), style.name("family", "family")]
    tips += [style.tip(x, TITLES[x].partition(" (")[0]), style.tip(y, TITLES[y])]
    models = style.with_errors(results.models.drop_nulls([x, y]), n)
    seeds = alt.Chart(style.rows(models)).mark_point(filled=True, size=22, opacity=0.35)
    known = style.with_errors(results.strategies.drop_nulls([x, y]), n)
    apart = known.with_columns(pl.col("error").log()) if place == "error" else known
    means = alt.Chart(style.rows(known.with_columns(label=style.labels(apart, place, y, "strategy"))))
    rule, large = means.mark_rule(opacity=0.5), means.mark_point(filled=True, size=130, opacity=1)
    return alt.layer(
        rule.encode(x=axis(f"{place}_low", TITLES[x]), x2=f"{place}_high", y=up, color=mark["color"]),
        rule.encode(y=style.up(f"{y}_low", TITLES[y]), y2=f"{y}_high", x=right, color=mark["color"]),
        seeds.encode(x=right, y=up, tooltip=[style.name("model", "model"), *tips], **mark),
        large.encode(x=right, y=up, tooltip=tips, **mark),
        means.mark_text(align="left", dx=9, dy=-7, fontSize=11).encode(
            x=right, y=up, text="label:N", color=alt.value(style.INK)
        ),
    ).properties(width="container", height=height)


def without_each_family(results: Results) -> Display:
    """The correlation again, each time without one family: a family that carries it is seen."""
    found = results.correlation
    named = {"all strategies": found.whole, **{f"without {k}": v for k, v in found.without.items()}}
    table = pl.DataFrame([_cells(label, one.estimate) for label, one in named.items()])
    caption = (
        "Spearman's rho of accuracy with mean AUROC over n strategies, 95% intervals (Bonett-Wright). "
        f"{without_families(results)}"
    )
    figure = Figure(strip(table, "Spearman's rho", (-1, 1), 0))
    return Display("families", "The same without each family", caption, table, (figure,))


def _cells(label: str, one: Estimate) -> dict[str, float | str | int]:
    return {"name": label, "value": one.value, "low": one.low, "high": one.high, "n": one.n}


def strip(
    table: pl.DataFrame, title: str, domain: tuple[float, float] | None = None, at: float | None = None
) -> alt.TopLevelMixin:
    """A dot and its interval for each name, in the order of the table; ``at`` draws a line."""
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


def accuracy_by_category(results: Results) -> Display:
    """Accuracy against the mean AUROC of each OOD category, each with its own correlation."""
    tables = {category: _of_category(results, category) for category in results.categories}
    if not tables:
        raise UserError("Expected OOD sets with a category, but no set has one. Name near, far, extreme or synthetic.")
    figures = tuple(
        Figure(_small(table, results), f"{category}: {_rho(table)}", 210) for category, table in tables.items()
    )
    _enough(next(iter(tables.values())))
    whole = pl.concat(table.with_columns(category=pl.lit(category)) for category, table in tables.items())
    caption = (
        "A point a strategy: mean over its seeds, over detectors and over the category's OOD sets. In the titles "
        f"Spearman's rho over {results.strategies.height} strategies with its 95% interval; axes differ between panels."
    )
    title = "Accuracy against detection, by OOD category"
    return Display("categories-accuracy", title, caption, whole, figures, legend="family")


def _enough(table: pl.DataFrame) -> None:
    if (found := table["strategy"].n_unique()) < FEWEST:
        raise UserError(
            f"Expected at least {FEWEST} strategies for a picture of a relation, but got {found}. Add some."
        )


def _of_category(results: Results, category: str) -> pl.DataFrame:
    rows = results.complete.filter(pl.col("ood_category") == category)
    means = rows.group_by("strategy").agg(pl.col("value").mean().alias("auroc"))
    known = results.strategies.select("strategy", "family", "accuracy")
    return known.join(means, on="strategy", maintain_order="left").drop_nulls()


def _small(table: pl.DataFrame, results: Results, height: int = 200, bare: bool = False) -> alt.TopLevelMixin:
    """Strategies as points; ``bare`` leaves the axes without titles, which the caption then states."""
    tips = [style.name("strategy", "strategy"), style.tip("accuracy", "accuracy"), style.tip("auroc", "mean AUROC")]
    points = alt.Chart(style.rows(style.with_errors(table, results.n_id))).mark_point(
        filled=True, size=35 if bare else 80, opacity=0.95
    )
    titles = ("", "") if bare else ("accuracy", "mean AUROC")
    right = style.across_accuracy("error", titles[0], style.FEW_ERRORS)
    up = style.up("auroc", titles[1], 3 if bare else 5)
    marked = points.encode(x=right, y=up, tooltip=tips, **style.family(results.families))
    chart: alt.TopLevelMixin = marked.properties(width="container", height=height)
    return chart


def _rho(table: pl.DataFrame) -> str:
    try:
        found = spearman(table["accuracy"], table["auroc"]).estimate
    except UserError:
        return "not defined"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def accuracy_by_detector(results: Results) -> Display:
    """Spearman of accuracy with the AUROC of each detector."""
    table = pl.DataFrame(list(_per_detector(results))).sort("value", descending=True)
    clear = table.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    caption = (
        f"Spearman's rho over strategies between accuracy and each detector's mean AUROC over OOD sets, 95% intervals "
        f"(Bonett-Wright), not corrected for {table.height} looks. {clear} of {table.height} intervals exclude 0."
    )
    figure = Figure(strip(table, "Spearman's rho", (-1, 1), 0), min_width=320)
    title = "Whose detection follows accuracy?"
    return Display("detectors-accuracy", title, caption, table, (figure,), legend="information")


def _per_detector(results: Results) -> Iterator[dict[str, float | str | int]]:
    means = results.complete.group_by("model", "detector").agg(pl.col("value").mean())
    for detector in results.detectors:
        one = results.models.join(means.filter(pl.col("detector") == detector), on="model", maintain_order="left")
        known = one.drop_nulls(["accuracy", "value"])
        found = spearman(known["accuracy"], known["value"], groups=known["strategy"].to_list()).estimate
        yield _cells(detector, found) | {"information": results.information[detector]}


def accuracy_against_each_detector(results: Results) -> Display:
    """Accuracy against the mean AUROC of each detector: a panel a detector, a point a strategy."""
    known = results.strategies.select("strategy", "family", "accuracy")
    cells = results.cells.select("detector", "strategy", auroc="value")
    table = cells.join(known, on="strategy", how="left").drop_nulls().sort("detector", "strategy")
    if table.is_empty():
        raise UserError("Expected accuracies beside the AUROCs, but there are none. Add rows of the metric accuracy.")
    _enough(table)
    figures = tuple(
        Figure(_small(one, results, 110, bare=True), name, 150)
        for name in results.detectors
        if (one := table.filter(pl.col("detector") == name)).height
    )
    caption = (
        f"Across: accuracy on the ID test set (log scale of the error); up: mean AUROC over "
        f"{results.complete['ood'].n_unique()} OOD sets. A point a strategy, mean over its seeds "
        f"(n = {table['strategy'].n_unique()}); best detectors first; axes differ between panels."
    )
    title = "Accuracy against detection, detector by detector"
    return Display("each-accuracy", title, caption, table, figures, legend="family")
