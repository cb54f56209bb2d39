"""Measures that say nothing, or not the same of every model: constant ones, and means over other detectors."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from outfield.errors import with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding


def constant(analysis: Analysis) -> Iterator[Finding]:
    """OF030: a measure with one value for all models."""
    table = analysis.measures
    if analysis.constant:
        each = with_and([f"{name} {value:.4g}" for name, value in analysis.constant.items()])
        one = "it says" if len(analysis.constant) == 1 else "they say"
        yield Finding(
            "OF030", "error" if table.id in analysis.constant else "warning",
            f"All {table.units.height} units have the same value: {each}. So {one} nothing of how models differ, and "
            "no statistic uses it. Check whether the right column was read.",
        )  # fmt: skip


def uneven_mean(analysis: Analysis) -> Iterator[Finding]:
    """OF031: a mean AUROC whose units were measured with different detectors."""
    rows = analysis.measures.rows
    if rows is None or "detector" not in rows.columns:
        return
    aurocs = rows.filter(pl.col("metric") == "auroc", pl.col("set_kind") == "ood", pl.col("value").is_not_null())
    used = aurocs.group_by("unit", maintain_order=True).agg(pl.col("detector").unique().sort())
    if used["detector"].n_unique() < 2:
        return
    shared = sorted(set.intersection(*map(set, used["detector"].to_list())))
    counts = used.group_by(pl.col("detector").list.len().alias("n")).agg(units=pl.len()).sort("n")
    each = with_and([f"{units} with {n} detector{'s' * (n > 1)}" for n, units in counts.iter_rows()])
    yield Finding(
        "OF031", "warning",
        f"Of {used.height} units, {each}: a mean over detectors is not one of the same detectors everywhere. "
        f"{_shift(aurocs, shared)}",
    )  # fmt: skip


def _shift(aurocs: pl.DataFrame, shared: list[str]) -> str:
    """What the means are over the detectors that all units share, and how far those over their own lie from them."""
    if not shared:
        return (
            "No detector was used on all of them, so their means cannot be compared. Run one detector on every model."
        )

    def mean(rows: pl.DataFrame, name: str) -> pl.DataFrame:
        return rows.group_by("unit").agg(pl.col("value").mean().alias(name))

    both = mean(aurocs, "own").join(mean(aurocs.filter(pl.col("detector").is_in(shared)), "shared"), on="unit")
    gap = both.with_columns(gap=pl.col("own") - pl.col("shared")).sort(
        pl.col("gap").abs(), "unit", descending=[True, False]
    )
    unit, own, alone, _ = gap.select("unit", "own", "shared", "gap").row(0)
    return (
        f"All have {with_and(shared)}: over that alone {unit!r} has {alone:.3f}, over its own detectors {own:.3f}. "
        "Compare models by detectors that all of them have."
    )
