"""Detectors against strategies: who is good where, and how much it varies."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np
import polars as pl

from outfield.errors import UserError, plural
from outfield.reports.displays import _boxes
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import strip
from outfield.reports.headline import criteria, undecided
from outfield.reports.results import Results
from outfield.stats import _plots
from outfield.stats.ranks import MeanRanks
from outfield.stats.recommend import TIE

INTERVAL = (
    "95% intervals over inputs: the mean ends of DeLong's intervals of the sets and seeds, as wide as if their errors "
    "moved together."
)
ENDS = {"low": "95% low", "high": "95% high", "seed_low": "Lowest seed", "seed_high": "Highest seed"}


def heat_map(results: Results) -> Display:
    """Every detector on every strategy: mean AUROC with its interval and rank."""
    table = results.cells.with_columns(
        rank=pl.col("value").round(12).rank("min", descending=True).over("strategy").cast(pl.Int64)
    ).sort("strategy", "rank", "detector")
    order = results.strategies.sort("auroc", descending=True, nulls_last=True)["strategy"].to_list()
    chart = style.cells(
        table.select(x="strategy", y="detector", value="value"),
        order,
        results.detectors,
        ("strategy", "detector"),
        "mean AUROC",
    )
    caption = (
        f"Mean AUROC over {results.complete['ood'].n_unique()} OOD sets, each counting once, and seeds; best "
        f"strategies left, best detectors on top, both by mean AUROC. {criteria(results)} .5 is guessing. "
        f"{INTERVAL} Rank: within the strategy, 1 is best."
    )
    columns = {"strategy": "Strategy", "detector": "Detector", "rank": "Rank", "value": "Mean AUROC"} | ENDS
    wide = max(340, 130 + 44 * min(len(order), 20) + 22 * max(0, len(order) - 20))
    figure = Figure(chart, min_width=wide)
    return Display("heat", "Every detector on every strategy", caption, table, (figure,), columns)


def boxes(results: Results) -> Display:
    """Spread of each detector's AUROC over strategies and OOD sets, the baseline strategy marked."""
    means = results.complete.group_by("strategy", "detector").agg(pl.col("value").mean())
    named = means.rename({"detector": "name"})
    overall = named.group_by("name").agg(pl.col("value").mean().alias("mean"))
    table = _boxes.quartiles(named).join(overall, on="name")
    if results.baseline:
        marked = means.filter(pl.col("strategy") == results.baseline).select(
            pl.col("detector").alias("name"), pl.col("value").alias("baseline")
        )
        table = table.join(marked, on="name", how="left")
    table = table.sort("mean", "name", descending=[True, False])
    caption = (
        f"Mean AUROC over OOD sets and seeds, spread over {means['strategy'].n_unique()} strategies: line from worst "
        f"to best strategy, bar the middle half, tick the median{_marked(results)}. Best mean AUROC over strategies on "
        f"top, as in the heat map; medians may order otherwise. {criteria(results)}"
    )
    chart = _boxes.chart(table, "AUROC", "baseline" if results.baseline else None)
    return Display("boxes", "How much a detector depends on training", caption, table, (Figure(chart, min_width=320),))


def _marked(results: Results) -> str:
    return f", cross the strategy {results.baseline!r}" if results.baseline else ""


def best_per_strategy(results: Results) -> Display:
    """For every strategy the detector to take, and what choosing it is worth on sets that it was not chosen on."""
    if results.auroc.is_empty():
        raise UserError("Expected AUROCs, but this study has none yet. Run it with detectors and OOD sets.")
    safest = _safest(results)
    table, named = _best(results, safest), " or ".join(safest)
    caption = (
        "Best: the highest mean AUROC over OOD sets, each counting once, and seeds; exact ties are all named. "
        f"{INTERVAL} Chosen and judged on the same sets that is optimistic, so 'chosen blind' leaves each OOD set out "
        "of the choice in turn and judges on it."
        + (f" Beside it the safest choice over all strategies, {named}. {criteria(results)}" if safest else "")
    )
    columns = {
        "strategy": "Strategy",
        "family": "Family",
        results.performance: results.performance_label,
        "best": "Best detector",
        "auroc": "Mean AUROC",
        **ENDS,
        "blind": "Chosen blind",
    } | ({"safest": f"With {named}"} if safest else {})
    return Display("best", "Which detector for which strategy", caption, table, columns=columns, open=True)


def _safest(results: Results) -> tuple[str, ...]:
    """The safest choice, all that tie; none where there is no choice between detectors, sets and strategies."""
    try:
        found = results.recommendation
    except UserError:
        return ()
    return () if undecided(found) else found.safest


def _best(results: Results, safest: tuple[str, ...]) -> pl.DataFrame:
    """The best detectors of every strategy; beside them the mean over the safest ones."""
    cell = results.complete.group_by("strategy", "detector", "ood").agg(pl.col("value").mean())
    means = results.cells.rename({"value": "auroc"})
    names = pl.col("detector").sort().str.join(" and ").alias("detector")
    highest = means.filter(_highest("auroc", "strategy")).sort("strategy", "detector")
    top = highest.group_by("strategy", maintain_order=True).agg(pl.exclude("detector").first(), names)
    beside = means.filter(pl.col("detector").is_in(safest)).group_by("strategy").agg(safest=pl.col("auroc").mean())
    table = results.strategies.select("strategy", "family", results.performance).join(
        top, on="strategy", maintain_order="left"
    )
    for other in (_blind(cell), beside) if safest else (_blind(cell),):
        table = table.join(other, on="strategy", how="left", maintain_order="left")
    return table.rename({"detector": "best"}).sort("auroc", descending=True)


def _blind(cell: pl.DataFrame) -> pl.DataFrame:
    """Mean over OOD sets of the AUROC there of the detector that is best on the others; none where there is one set.

    Of detectors that tie exactly it is the mean of theirs.
    """
    by = ["strategy", "detector"]
    others = (pl.col("value").sum().over(by) - pl.col("value")) / (pl.len().over(by) - 1)
    several = cell.with_columns(others=others).filter(pl.len().over(by) > 1)
    chosen = several.filter(_highest("others", "strategy", "ood"))
    earned = chosen.group_by("strategy", "ood").agg(pl.col("value").mean())
    return earned.group_by("strategy").agg(blind=pl.col("value").mean())


def _highest(value: str, *by: str) -> pl.Expr:
    """The rows that have the highest value of their group; what differs by rounding ties exactly."""
    return pl.col(value) >= pl.col(value).max().over(by) - TIE


def mean_ranks(results: Results) -> Display:
    """Mean rank of every detector, by the information that it uses."""
    found = results.ranks
    table = pl.DataFrame(
        {
            "name": found.names,
            "value": [one.value for one in found.estimates],
            "low": [one.low for one in found.estimates],
            "high": [one.high for one in found.estimates],
            "information": [results.information.get(name, "other") for name in found.names],
        }
    )
    caption = (
        f"Rank of the AUROC among {table.height} detectors (1 is best), mean over {results.complete['ood'].n_unique()} "
        f"OOD sets and n = {found.n_units} {plural(found.level)}; 95% jackknife intervals over them, "
        f"seeds averaged. Nemenyi's critical difference is {found.critical_difference:.1f}: in the diagram a bar joins "
        f"detectors that differ by less. Best mean rank on top. {criteria(results)}"
    )
    figures = (
        Figure(strip(table, "mean rank (1 is best)"), min_width=320),
        *_differences(found),
    )
    return Display(
        "ranks",
        "Mean ranks, by the information used",
        caption,
        table,
        figures,
        legend="information",
    )


def _differences(found: MeanRanks) -> Iterator[Figure]:
    """Demsar's diagram, where the critical difference is defined."""
    if isfinite(found.critical_difference):
        means = np.array([one.value for one in found.estimates])
        chart = _plots.critical_difference(found.names, means, found.critical_difference)
        yield Figure(style.contained(chart), "Critical-difference diagram", 360)


def worst_case(results: Results) -> Display:
    """Worst-case mean rank: the rank on the OOD set where a detector does worst."""
    found = results.recommendation
    ordered = sorted(found.worst_rank.items(), key=lambda item: item[1].value)
    table = pl.DataFrame(
        [
            {
                "name": k,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "worst set": found.worst_set[k],
                "mean AUROC": found.mean_value[k].value,
                "information": results.information.get(k, "other"),
            }
            for k, e in ordered
        ]
    )
    caption = (
        f"Mean rank over strategies on the OOD set where the detector ranks worst; 95% intervals over "
        f"{plural(found.level)}, wider where the set or the detector was picked. Safest on top. {criteria(results)} "
        f"{found.stability_sentence} Choosing this way on all sets but one and judging on that one gives mean rank "
        f"{found.held_out.value:.1f} [{found.held_out.low:.1f}, {found.held_out.high:.1f}]."
    )
    return Display(
        "worst-case",
        "The safest choice: worst-case mean rank",
        caption,
        table,
        (Figure(strip(table, "worst-case mean rank (1 is best)"), min_width=320),),
        legend="information",
    )
