"""Calibration against detection, and the features behind both."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import scatter
from outfield.reports.results import Results

FEATURES = ("total_variance", "participation_ratio", "tiny_share", "norm_mean", "norm_sd")


def ece_against_auroc(results: Results) -> Display:
    """ECE against mean AUROC: does the better calibrated model detect better?"""
    found = results.correlate("ece", "auroc").whole
    performance = results.correlation.whole.estimate.value
    chart = scatter(results, "ece", "auroc", 340)
    stronger = "stronger" if abs(found.estimate.value) > abs(performance) else "weaker"
    caption = (
        "Expected calibration error against mean AUROC; small: a model, large: a strategy with the range of its seeds. "
        f"Spearman over strategies {found.estimate}, 95% interval (Bonett-Wright): {stronger} than that of "
        f"{results.measure.word}, {performance:.2f}."
    )
    table = results.models.select("model", "strategy", "family", "ece", "auroc")
    return Display("ece", "Calibration against detection", caption, table, (Figure(chart),), legend="family")


def feature_statistics(results: Results) -> Display:
    """Five statistics of the penultimate features, as ratios to the baseline strategy."""
    rows = results.test.filter(pl.col("metric").is_in(FEATURES), pl.col("set_kind") == "id")
    if rows.is_empty():
        raise UserError("This study has no feature statistics: its models have no linear head to look behind.")
    means = rows.group_by("strategy", "metric").agg(pl.col("value").mean())
    if results.baseline is None:
        raise UserError("This study has no strategy of the family baseline to compare features with. Add one.")
    base = means.filter(pl.col("strategy") == results.baseline).select("metric", base="value")
    ratio = pl.when(pl.col("base") != 0).then(pl.col("value") / pl.col("base"))
    ratios = means.join(base, on="metric").with_columns(ratio.alias("value"))
    wide = ratios.pivot("metric", index="strategy", values="value")
    kept = [name for name in FEATURES if name in wide.columns]
    table = (
        results.strategies.select("strategy", "family", "auroc")
        .join(wide, on="strategy")
        .sort("auroc", descending=True)
    )
    columns = {"strategy": "Strategy", "family": "Family", "auroc": "Mean AUROC"} | {
        name: name.replace("_", " ").capitalize() for name in kept
    }
    caption = (
        f"Penultimate features on the ID test set, mean over seeds, divided by those of {results.baseline!r} (1 = the "
        "same): total variance, participation ratio (how many directions they spread over), share of activations "
        "below 0.001, mean and standard deviation of the L2 norm; empty where the baseline's is 0. A point a strategy; "
        "log scale, dashed at 1."
    )
    figures = tuple(
        Figure(_ratio(drawn, name, results), columns[name], 190)
        for name in kept
        if (drawn := table.filter(pl.col(name) > 0)).height
    )
    return Display(
        *("features", "What training did to the features", caption, table.select(*columns), figures, columns),
        legend="family",
    )


def _ratio(table: pl.DataFrame, name: str, results: Results) -> alt.TopLevelMixin:
    """A statistic relative to the baseline's against mean AUROC: a point a strategy, a line at 1."""
    axis = alt.Axis(title="times the baseline's", tickCount=4, format="~g")
    right = alt.X("ratio:Q", axis=axis, scale=alt.Scale(type="log", nice=False, padding=12))
    tips = [style.name("strategy", "strategy"), style.tip("ratio", "ratio"), style.tip("auroc", "mean AUROC")]
    points = alt.Chart(style.rows(table.select("strategy", "family", "auroc", ratio=name)))
    marked = points.mark_point(filled=True, size=70, opacity=0.95)
    same = alt.Chart(style.rows(pl.DataFrame({"ratio": [1.0]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    up = style.up("auroc", "mean AUROC", 4)
    drawn: alt.TopLevelMixin = alt.layer(
        same.encode(x=right), marked.encode(x=right, y=up, tooltip=tips, **style.family(results.families))
    ).properties(width="container", height=170)
    return drawn
