"""Generalisation and detection along training, in one figure."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from outfield.errors import UserError
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.trajectory_curves import ends, kind_of, lines
from outfield.trajectory.analysis import Trajectories, bounded


def generalisation_and_detection(found: Trajectories) -> Display:
    """Generalisation and detection along training: mean performance and mean AUROC, a figure a model."""
    curves = found.curves()
    if not (curves["metric"] == "auroc").any():
        raise UserError("These runs were measured without detectors. Add `ood:` and `detectors:` to the study.")
    table, measure = _means(found), found.performance
    figures = tuple(
        figure for part in table.partition_by("strategy", maintain_order=True) for figure in _figures(part, found)
    )
    caption = (
        f"ID {measure.word}, {measure.average} over the sets of the same labels, mean AUROC over detectors and OOD "
        f"sets; means over {table['runs'].max()!s} runs with Student's 95% interval over runs. "
        "Steps on a symmetric log scale."
    )
    return Display("bridge", "Generalisation and detection along training", caption, table, figures)


def _figures(part: pl.DataFrame, found: Trajectories) -> Iterator[Figure]:
    """One figure of a model; two where its performance and the AUROC have no scale in common."""
    word, title = found.performance.word, str(part["strategy"][0])
    if found.performance.share:
        yield Figure(lines(part, f"{word}, AUROC", (0, 1), height=280, word=word, legend=True), title, 320)
        return
    for name, own in ((word, part.filter(pl.col("metric") != "auroc")), ("AUROC", part.filter(metric="auroc"))):
        yield Figure(lines(own, name, ends(own), height=280, word=word, legend=True), f"{title}: {name}", 320)


def _means(found: Trajectories) -> pl.DataFrame:
    """Each run's mean of a kind at a step, then mean and interval over runs."""
    from scipy import stats

    rows = found.rows.filter(pl.col("metric").is_in([found.measure, "auroc"]), pl.col("role") == "test")
    named = rows.with_columns(name=pl.when(pl.col("set_kind") == "id").then(pl.lit("ID")).otherwise(pl.col("metric")))
    sorted_out = named.with_columns(kind=kind_of(found.performance.word))
    keys = ["strategy", "kind", "metric", "step"]
    per_run = sorted_out.group_by("run", *keys).agg(pl.col("value").mean())
    table = per_run.group_by(keys).agg(
        pl.col("value").mean(), pl.col("value").std().alias("sd"), pl.len().alias("runs")
    )
    factor = [float(stats.t.ppf(0.975, runs - 1) / runs**0.5) if runs > 1 else float("nan") for runs in table["runs"]]
    half = pl.col("sd") * pl.Series(factor)
    table = table.with_columns(bounded(half, found.performance.share))
    return table.drop("sd").with_columns(name=pl.col("kind")).sort(keys)
