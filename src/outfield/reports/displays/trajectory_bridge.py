"""Generalisation and detection along training, in one figure."""

from __future__ import annotations

import polars as pl

from outfield.errors import UserError
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.trajectory_curves import _KIND, _lines
from outfield.trajectory.analysis import Trajectories


def generalisation_and_detection(found: Trajectories) -> Display:
    """Generalisation and detection along training: mean accuracy and mean AUROC, a figure a model."""
    curves = found.curves()
    if not (curves["metric"] == "auroc").any():
        raise UserError("These runs were measured without detectors. Add `ood:` and `detectors:` to the study.")
    table = _means(found)
    figures = tuple(
        Figure(_lines(part, "accuracy, AUROC", (0, 1), height=280, legend=True), str(part["strategy"][0]), 320)
        for part in table.partition_by("strategy", maintain_order=True)
    )
    caption = (
        "ID accuracy, mean accuracy over the sets of the same labels, mean AUROC over detectors and OOD sets; "
        "means over "
        f"{table['runs'].max()!s} runs with Student's 95% interval over runs. Steps on a symmetric log scale."
    )
    return Display("bridge", "Generalisation and detection along training", caption, table, figures)


def _means(found: Trajectories) -> pl.DataFrame:
    """Each run's mean of a kind at a step, then mean and interval over runs."""
    from scipy import stats

    rows = found.rows.filter(pl.col("metric").is_in(["accuracy", "auroc"]), pl.col("role") == "test")
    named = rows.with_columns(name=pl.when(pl.col("set_kind") == "id").then(pl.lit("ID")).otherwise(pl.col("metric")))
    per_run = named.with_columns(kind=_KIND).group_by("strategy", "run", "kind", "step").agg(pl.col("value").mean())
    keys = ["strategy", "kind", "step"]
    table = per_run.group_by(keys).agg(
        pl.col("value").mean(), pl.col("value").std().alias("sd"), pl.len().alias("runs")
    )
    factor = [float(stats.t.ppf(0.975, runs - 1) / runs**0.5) if runs > 1 else float("nan") for runs in table["runs"]]
    half = pl.col("sd") * pl.Series(factor)
    ends = table.with_columns(low=(pl.col("value") - half).clip(0), high=(pl.col("value") + half).clip(None, 1))
    return ends.drop("sd").with_columns(name=pl.col("kind")).sort(keys)
