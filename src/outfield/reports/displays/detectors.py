"""Detectors against strategies: who is good where, and how much it varies."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.accuracy import strip
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results


def heat_map(results: Results) -> Display:
    """Mean AUROC of every strategy and detector."""
    table = results.complete.group_by("strategy", "detector").agg(pl.col("value").mean())
    order = results.strategies.sort("auroc", descending=True, nulls_last=True)["strategy"].to_list()
    chart = style.cells(
        table.rename({"strategy": "x", "detector": "y"}),
        order,
        results.detectors,
        ("strategy", "detector"),
        "mean AUROC",
    )
    caption = (
        f"Mean AUROC over {results.complete['ood'].n_unique()} OOD sets and seeds; best strategies left, best "
        "detectors on top. .5 is guessing."
    )
    wide = max(340, 130 + 44 * min(len(order), 20) + 22 * max(0, len(order) - 20))
    return Display("heat", "Every detector on every strategy", caption, table, (Figure(chart, min_width=wide),))


def boxes(results: Results) -> Display:
    """Spread of each detector's AUROC over strategies and OOD sets, the baseline strategy marked."""
    means = results.complete.group_by("strategy", "detector").agg(pl.col("value").mean())
    table = _quartiles(means.rename({"detector": "name"}))
    if results.baseline:
        marked = means.filter(pl.col("strategy") == results.baseline).select(
            pl.col("detector").alias("name"), pl.col("value").alias("baseline")
        )
        table = table.join(marked, on="name", how="left")
    table = table.sort("median", descending=True)
    caption = (
        f"Mean AUROC over OOD sets and seeds, spread over {means['strategy'].n_unique()} strategies: line from worst "
        f"to best strategy, bar the middle half, tick the median{_marked(results)}."
    )
    chart = _box_chart(table, "baseline" if results.baseline else None)
    return Display("boxes", "How much a detector depends on training", caption, table, (Figure(chart, min_width=320),))


def _marked(results: Results) -> str:
    return f", cross the strategy {results.baseline!r}" if results.baseline else ""


def _quartiles(table: pl.DataFrame) -> pl.DataFrame:
    value = pl.col("value")
    return table.group_by("name").agg(
        value.min().alias("worst"),
        value.quantile(0.25, "linear").alias("lower"),
        value.median().alias("median"),
        value.quantile(0.75, "linear").alias("upper"),
        value.max().alias("best"),
        value.len().alias("n"),
    )


def _box_chart(table: pl.DataFrame, mark: str | None) -> alt.TopLevelMixin:
    down = alt.Y("name:N", sort=table["name"].to_list(), title=None)
    base = alt.Chart(style.rows(table))
    names = ("worst", "lower", "median", "upper", "best")
    tips = [style.name("name", "name"), *(style.tip(name, name) for name in names), style.tip("n", "n", "d")]
    layers = [
        base.mark_rule(color=style.GREY).encode(y=down, x=style.across("worst", "AUROC"), x2="best:Q"),
        base.mark_bar(color=style.SKY, height=11).encode(
            y=down, x=style.across("lower", "AUROC"), x2="upper:Q", tooltip=tips
        ),
        base.mark_tick(color="#08306b", thickness=2, height=13).encode(y=down, x=style.across("median", "AUROC")),
    ]
    if mark:
        cross = base.mark_point(shape="cross", size=55, filled=True, color=style.VERMILION, opacity=1)
        layers.append(cross.encode(y=down, x=style.across(mark, "AUROC"), tooltip=[*tips, style.tip(mark, mark)]))
    return alt.layer(*layers).properties(width="container", height=alt.Step(19))


def best_per_strategy(results: Results) -> Display:
    """For every strategy the detector to take, and what choosing it is worth on sets that it was not chosen on."""
    table = _best(results)
    safest = results.recommendation.best
    caption = (
        "Best: the highest mean AUROC over all OOD sets and seeds, with the lowest and highest seed. Chosen and judged "
        "on the same sets that is optimistic, so 'when chosen blind' leaves each OOD set out of the choice in turn and "
        f"judges on it. Beside it the safest choice overall, {safest}."
    )
    columns = {
        "strategy": "Strategy",
        "family": "Family",
        "accuracy": "Accuracy",
        "best": "Best detector",
        "auroc": "Mean AUROC",
        "low": "Lowest seed",
        "high": "Highest seed",
        "blind": "When chosen blind",
        "safest": f"With {safest}",
    }
    return Display("best", "Which detector for which strategy", caption, table, columns=columns, open=True)


def _best(results: Results) -> pl.DataFrame:
    cell = results.complete.group_by("strategy", "detector", "ood").agg(pl.col("value").mean())
    seeds = results.complete.group_by("strategy", "detector", "model").agg(pl.col("value").mean().alias("seed_mean"))
    spread = seeds.group_by("strategy", "detector").agg(low=pl.col("seed_mean").min(), high=pl.col("seed_mean").max())
    means = cell.group_by("strategy", "detector").agg(auroc=pl.col("value").mean())
    top = means.sort("auroc", "detector", descending=[True, False]).group_by("strategy", maintain_order=True).first()
    safest = means.filter(pl.col("detector") == results.recommendation.best).select("strategy", safest="auroc")
    table = results.strategies.select("strategy", "family", "accuracy").join(top, on="strategy", maintain_order="left")
    for other in (_blind(cell), safest):
        table = table.join(other, on="strategy", how="left", maintain_order="left")
    table = table.join(spread, on=["strategy", "detector"], how="left", maintain_order="left")
    return table.rename({"detector": "best"}).sort("auroc", descending=True)


def _blind(cell: pl.DataFrame) -> pl.DataFrame:
    """Mean over OOD sets of the AUROC there of the detector that is best on the other sets."""
    by = ["strategy", "detector"]
    others = (pl.col("value").sum().over(by) - pl.col("value")) / (pl.len().over(by) - 1)
    chosen = cell.with_columns(others=others).sort("others", descending=True, nulls_last=True)
    return chosen.group_by("strategy", "ood").first().group_by("strategy").agg(blind=pl.col("value").mean())


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
        f"OOD sets and n = {found.n_units} {_plural(found.level)}; 95% jackknife intervals over them, "
        f"seeds averaged. Nemenyi's critical difference is {found.critical_difference:.1f}."
    )
    return Display(
        "ranks",
        "Mean ranks, by the information used",
        caption,
        table,
        (Figure(strip(table, "mean rank (1 is best)"), min_width=320),),
        legend="information",
    )


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
                "information": results.information.get(k, "other"),
            }
            for k, e in ordered
        ]
    )
    caption = (
        f"Mean rank over strategies on the OOD set where the detector ranks worst; 95% percentile intervals resample "
        f"{_plural(found.level)}. {found.best} is the safest choice; {found.stability:.0%} of the resamples pick it "
        f"too. Choosing this way on all sets but one and judging on that one gives mean rank "
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


def _plural(level: str) -> str:
    return "strategies" if level == "strategy" else f"{level}s"
