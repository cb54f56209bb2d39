"""Performance against detection, by OOD category and by detector: does the better model know its limits better?"""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import across, axis_titles, cells, placed, strip
from outfield.reports.results import Results
from outfield.stats import spearman

FEWEST = 3


def performance_by_category(results: Results) -> Display:
    """Performance against the mean AUROC of each OOD category, each with its own correlation."""
    tables = {category: _of_category(results, category) for category in results.categories}
    if not tables:
        raise UserError("Expected OOD sets with a category, but no set has one. Name near, far, extreme or synthetic.")
    figures = tuple(
        Figure(_small(table, results), f"{category}: {_rho(table, results)}", 210) for category, table in tables.items()
    )
    _enough(next(iter(tables.values())))
    whole = pl.concat(table.with_columns(category=pl.lit(category)) for category, table in tables.items())
    caption = (
        "A point a strategy: mean over its seeds, over detectors and over the category's OOD sets. In the titles "
        f"Spearman's rho over {results.strategies.height} strategies with its 95% interval; axes differ between panels."
    )
    title = f"{results.performance_label} against detection, by OOD category"
    return Display("categories-performance", title, caption, whole, figures, legend="family")


def _enough(table: pl.DataFrame) -> None:
    if (found := table["strategy"].n_unique()) < FEWEST:
        raise UserError(
            f"Expected at least {FEWEST} strategies for a picture of a relation, but got {found}. Add some."
        )


def _of_category(results: Results, category: str) -> pl.DataFrame:
    rows = results.complete.filter(pl.col("ood_category") == category)
    means = rows.group_by("strategy").agg(pl.col("value").mean().alias("auroc"))
    known = results.strategies.select("strategy", "family", results.performance)
    return known.join(means, on="strategy", maintain_order="left").drop_nulls()


def _small(table: pl.DataFrame, results: Results, height: int = 200, bare: bool = False) -> alt.TopLevelMixin:
    """Strategies as points; ``bare`` leaves the axes without titles, which the caption then states."""
    name, word = results.performance, results.measure.word
    tips = [style.name("strategy", "strategy"), style.tip(name, word), style.tip("auroc", "mean AUROC")]
    points = alt.Chart(style.rows(placed(table, results))).mark_point(
        filled=True, size=35 if bare else 80, opacity=0.95
    )
    titles = ("", "") if bare else (word, "mean AUROC")
    right = across(name, titles[0], results, ticks=style.FEW_ERRORS)
    up = style.up("auroc", titles[1], 3 if bare else 5)
    marked = points.encode(x=right, y=up, tooltip=tips, **style.family(results.families))
    chart: alt.TopLevelMixin = marked.properties(width="container", height=height)
    return chart


def _rho(table: pl.DataFrame, results: Results) -> str:
    try:
        found = spearman(table[results.performance], table["auroc"]).estimate
    except UserError:
        return "not defined"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def performance_by_detector(results: Results) -> Display:
    """Spearman of performance with the AUROC of each detector."""
    table = pl.DataFrame(list(_per_detector(results))).sort("value", descending=True)
    clear = table.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    caption = (
        f"Spearman's rho over strategies between {results.measure.word} and each detector's mean AUROC over OOD sets, "
        f"95% intervals (Bonett-Wright), not corrected for {table.height} looks. {clear} of {table.height} intervals "
        "exclude 0."
    )
    figure = Figure(strip(table, "Spearman's rho", (-1, 1), 0), min_width=320)
    title = f"Whose detection follows {results.measure.word}?"
    return Display("detectors-performance", title, caption, table, (figure,), legend="information")


def _per_detector(results: Results) -> Iterator[dict[str, float | str | int]]:
    means = results.complete.group_by("model", "detector").agg(pl.col("value").mean())
    for detector in results.detectors:
        one = results.models.join(means.filter(pl.col("detector") == detector), on="model", maintain_order="left")
        known = one.drop_nulls([results.performance, "value"])
        found = spearman(known[results.performance], known["value"], groups=known["strategy"].to_list()).estimate
        yield cells(detector, found) | {"information": results.information[detector]}


def performance_against_each_detector(results: Results) -> Display:
    """Performance against the mean AUROC of each detector: a panel a detector, a point a strategy."""
    known = results.strategies.select("strategy", "family", results.performance)
    means = results.cells.select("detector", "strategy", auroc="value")
    table = means.join(known, on="strategy", how="left").drop_nulls().sort("detector", "strategy")
    if table.is_empty():
        raise UserError(
            f"Expected {results.measure.word} beside the AUROCs, but there is none. Add rows of {results.performance}."
        )
    _enough(table)
    figures = tuple(
        Figure(_small(one, results, 110, bare=True), name, 150)
        for name in results.detectors
        if (one := table.filter(pl.col("detector") == name)).height
    )
    caption = (
        f"Across: {axis_titles(results)[results.performance]}; up: mean AUROC over "
        f"{results.complete['ood'].n_unique()} OOD sets. A point a strategy, mean over its seeds "
        f"(n = {table['strategy'].n_unique()}); best detectors first; axes differ between panels."
    )
    title = f"{results.performance_label} against detection, detector by detector"
    return Display("each-performance", title, caption, table, figures, legend="family")
