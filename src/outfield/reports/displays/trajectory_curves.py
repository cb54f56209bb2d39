"""Measures along training: generalisation and detection in one figure."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.trajectory.analysis import Trajectories

ID_COLOUR = "#8a8f98"
KINDS = {"ID accuracy": ID_COLOUR, "accuracy under shift": style.BLUE, "AUROC of a detector": style.ORANGE}


def trajectories(found: Trajectories) -> Display:
    """Each set along training, with intervals, the ID accuracy behind it."""
    table = found.curves()
    figures = tuple(
        Figure(_panel(table, name), name, 220)
        for name in table["name"].unique(maintain_order=True).sort()
        if name != "ID"
    )
    steps, runs = table["step"].n_unique(), table["runs"].max()
    caption = (
        f"Mean over {runs!s} runs at {steps} steps with Student's 95% interval over runs; grey: ID accuracy. "
        "Steps on a symmetric log scale; step 0 is before training. A line style a model."
    )
    return Display("trajectories", "Every set along training", caption, table, figures)


def _panel(table: pl.DataFrame, name: str) -> alt.TopLevelMixin:
    part = table.filter(pl.col("name").is_in([name, "ID"]))
    return _lines(part.with_columns(kind=_KIND), height=150)


_KIND = (
    pl.when(pl.col("name") == "ID")
    .then(pl.lit("ID accuracy"))
    .when(pl.col("metric") == "auroc")
    .then(pl.lit("AUROC of a detector"))
    .otherwise(pl.lit("accuracy under shift"))
)


def _lines(table: pl.DataFrame, height: int, legend: bool = False) -> alt.TopLevelMixin:
    shown = (
        alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
        if legend
        else None
    )
    kinds = [kind for kind in KINDS if kind in table["kind"].unique().to_list()]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[KINDS[kind] for kind in kinds]), legend=shown)
    x = alt.X(
        "step:Q", title="step", scale=alt.Scale(type="symlog", nice=False),
        axis=alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000], grid=False, format="~s"),
    )  # fmt: skip
    y = alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    base = alt.Chart(style.rows(table)).encode(x=x, color=colour, detail=["strategy:N", "name:N"])
    band = base.mark_area(opacity=0.16, line=False).encode(
        y=alt.Y("low:Q", title=None), y2="high:Q", stroke=alt.value(None)
    )
    tips = [style.name("strategy", "model"), style.name("name", "measure"), style.tip("step", "step", "d")]
    tips += [style.tip(end, end) for end in ("value", "low", "high")]
    several = table["strategy"].n_unique() > 1
    dash = {"strokeDash": alt.StrokeDash("strategy:N", legend=None)} if several else {}
    drawn = base.mark_line(strokeWidth=2).encode(y=y, tooltip=tips, **dash)
    whole: alt.TopLevelMixin = alt.layer(band, drawn).properties(width="container", height=height)
    return whole
