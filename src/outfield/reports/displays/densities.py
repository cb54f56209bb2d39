"""How the scores themselves lie: ID against OOD, detector by detector."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results
from outfield.store.scores import ID, histograms

BINS = 28
TICKS = (-300, -30, -3, 0, 3, 30, 300)


def score_densities(results: Results) -> Display:
    """Score densities: the scores of ID and OOD inputs of one model, for each detector."""
    if results.folder is None:
        raise UserError("Score densities need a study's folder, where each input's scores are; these are rows alone.")
    model = _model(results)
    counts = histograms(results.folder, model, bins=BINS).filter(pl.col("detector").is_in(results.detectors))
    table = _shares(counts, results).sort("detector", "inputs", "low")
    shown = [name for name in results.detectors if name in set(table["detector"])]
    figures = tuple(Figure(_chart(table.filter(pl.col("detector") == name), results), name, 200) for name in shown)
    constant = sorted(set(results.detectors) - set(shown))
    caption = (
        f"Model {model}: {counts['count'].sum() // max(1, len(shown)):,} scores for each detector, best mean AUROC "
        "first. Across: the score, in interquartile ranges of the ID scores from their median (symmetric log scale; "
        "further right is further out); up: the share of the inputs of each kind in a bin (square-root scale)."
    )
    if constant:
        caption += f" Left out, for their ID scores are constant or were not kept: {', '.join(constant)}."
    return Display("densities", "Scores of ID and OOD inputs", caption, table, figures, legend="category")


def _model(results: Results) -> str:
    """The baseline's first seed, else the first model."""
    models = results.models.filter(pl.col("model").is_in(results.auroc["model"].unique().to_list()))
    first = models.filter(pl.col("strategy") == results.baseline) if results.baseline else models
    return str((first if first.height else models)["model"].sort()[0])


def _shares(counts: pl.DataFrame, results: Results) -> pl.DataFrame:
    """Sets of one category together, each bin as a share of the inputs of its kind."""
    known = results.auroc.select("ood", "ood_category").unique(maintain_order=True).drop_nulls("ood")
    kinds = {ID: "ID"} | {str(ood): category or "other" for ood, category in known.iter_rows()}
    kept = counts.filter(pl.col("set").is_in(list(kinds)))
    named = kept.with_columns(inputs=pl.col("set").replace_strict(kinds, return_dtype=pl.String))
    bins = named.group_by("detector", "inputs", "low", "high").agg(pl.col("count").sum())
    return bins.with_columns(share=pl.col("count") / pl.col("count").sum().over("detector", "inputs"))


def _chart(table: pl.DataFrame, results: Results) -> alt.TopLevelMixin:
    kinds = ("ID", *results.categories)
    colours = [style.category(name, results.categories) for name in kinds]
    points = pl.DataFrame(list(_outline(table)), schema=["inputs", "at", "share"], orient="row")
    scale = alt.Scale(type="symlog", constant=1, nice=False)
    axis = alt.Axis(title=None, values=list(TICKS), grid=False, labelOverlap="greedy")
    percent = alt.Axis(values=[0.02, 0.1, 0.3, 0.6, 1], format="%", labelOverlap="greedy")
    chart = alt.Chart(style.rows(points, 4)).mark_area(
        interpolate="step-after", fillOpacity=0.12, line=alt.OverlayMarkDef(strokeWidth=1.5, opacity=0.95)
    )
    drawn: alt.TopLevelMixin = chart.encode(
        x=alt.X("at:Q", scale=scale, axis=axis),
        y=alt.Y("share:Q", title=None, stack=None, axis=percent, scale=alt.Scale(type="sqrt")),
        color=alt.Color("inputs:N", scale=alt.Scale(domain=list(kinds), range=colours), legend=None),
        order=alt.Order("at:Q"),
        tooltip=[style.name("inputs", "inputs"), style.tip("at", "score", ".2f"), style.tip("share", "share", ".1%")],
    ).properties(width="container", height=110)
    return drawn


def _outline(table: pl.DataFrame) -> Iterator[tuple[str, float, float]]:
    """The corners of each histogram: bins as they are, zero where bins are absent."""
    for (inputs,), bins in table.group_by("inputs", maintain_order=True):
        last = None
        for low, high, share in bins.select("low", "high", "share").iter_rows():
            if last is not None and low > last + 1e-9:
                yield str(inputs), last, 0.0
            yield str(inputs), low, share
            last = high
        if last is not None:
            yield str(inputs), last, 0.0
