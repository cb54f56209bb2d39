"""Where the AUROC's variance comes from."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.results import Results

PUBLISHED = {
    "OOD category": 0.3422,
    "strategy x detector": 0.2105,
    "residual": 0.1062,
    "strategy": 0.0969,
    "strategy x detector x OOD category": 0.0866,
    "detector": 0.0708,
    "detector x OOD category": 0.0530,
    "strategy x OOD category": 0.0339,
}
"""Shares that study 1 reports for 56 ResNet-50 on ImageNet and 21 detectors (arXiv 2601.10836)."""


def variance_shares(results: Results) -> Display:
    """Shares of variance of strategy, detector, OOD category and their interactions."""
    found = results.variance
    shares = found.frame().filter(pl.col("term") != "total").sort("eta2", descending=True)
    ends = ("eta2_low", "eta2_high") if "eta2_low" in shares.columns else ()
    kept = ["term", "eta2", *ends, "df", *(n for n in ("partial_eta2", "omega2") if n in shares.columns)]
    table = shares.select(kept).with_columns(
        published=pl.col("term").replace_strict(PUBLISHED, default=None, return_dtype=pl.Float64)
    )
    logit = results.variance_on_logit.row("strategy x detector")["eta2"]
    caption = (
        f"Share of the sum of squares (eta squared) of {found.n:,} AUROCs: strategy x detector x OOD category, sets "
        f"and seeds as replicates; 95% jackknife intervals over strategies (n = {found.n_units}). Diamonds: study 1 "
        f"(ResNet-50, ImageNet). On the logit scale the interaction strategy x detector has {logit:.1%}."
    )
    return Display("variance", "What decides the AUROC", caption, table, (Figure(_chart(table), min_width=340),))


def _chart(table: pl.DataFrame) -> alt.TopLevelMixin:
    down = alt.Y("term:N", sort=table["term"].to_list(), title=None, axis=alt.Axis(labelLimit=210))
    title = "share of variance (eta squared)"
    base = alt.Chart(style.rows(table.fill_nan(None)))
    percent = alt.X("eta2:Q", title=title, axis=alt.Axis(format="%", tickCount=8))
    tips = [style.name("term", "term"), style.tip("eta2", "share", ".1%"), style.tip("published", "study 1", ".1%")]
    layers = [base.mark_bar(color=style.SKY, height=13).encode(y=down, x=percent, tooltip=tips)]
    if "eta2_low" in table.columns:
        tips += [style.tip("eta2_low", "low", ".1%"), style.tip("eta2_high", "high", ".1%")]
        rule = base.mark_rule(strokeWidth=2, color=style.BLUE)
        layers.append(rule.encode(y=down, x=alt.X("eta2_low:Q", title=title), x2="eta2_high:Q"))
    published = base.mark_point(shape="diamond", size=70, color=style.VERMILION, filled=False, strokeWidth=2)
    layers.append(published.encode(y=down, x=alt.X("published:Q", title=title), tooltip=tips))
    return alt.layer(*layers).properties(width="container", height=24 * table.height)
