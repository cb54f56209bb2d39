"""The partial correlations as a network."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.trajectory_heat_map import BLUE, RED
from outfield.stats.smooth import Smoother
from outfield.trajectory.analysis import Trajectories
from outfield.trajectory.model import Model

COLOURS = {"positive": BLUE, "negative": RED, "interval holds 0": "#b9bcc2"}


def network(found: Trajectories, smoother: Smoother | None = None) -> Display:
    """Measures as nodes of a circle, partial correlations as edges, a network a model."""
    smoother = smoother or found.smoother
    part = found.compared(smoother).with_columns(side=sided("low", "high"))
    figures = tuple(Figure(_graph(part, model), model.name, 420) for model in found.models)
    counts = part.group_by("side").len().sort("len", descending=True)
    said = ", ".join(f"{row['len']} {row['side']}" for row in counts.iter_rows(named=True))
    caption = (
        f"Partial correlation given ID {found.performance.word} ({smoother}), mean over runs. Blue positive, red "
        "negative, grey where the "
        f"95% interval over runs holds 0; width is strength. Of {part.height} edges: {said}."
    )
    table = part.select("model", "first", "second", "value", "low", "high", "plain", "side")
    return Display("network", "The sets as a network", caption, table, figures)


def sided(low: str, high: str) -> pl.Expr:
    """Of an interval's ends: positive, negative, or that it holds 0; an unknown interval holds 0."""
    return (
        pl.when(pl.col(low) > 0)
        .then(pl.lit("positive"))
        .when(pl.col(high) < 0)
        .then(pl.lit("negative"))
        .otherwise(pl.lit("interval holds 0"))
    )


def _graph(edges: pl.DataFrame, model: Model) -> alt.TopLevelMixin:
    names = list(model.values)
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    nodes = pl.DataFrame({"name": names, "x": np.cos(angle), "y": np.sin(angle)})
    ends = {name: (float(a), float(b)) for name, a, b in nodes.iter_rows()}
    part = edges.filter(pl.col("model") == model.name, pl.col("value").is_not_null())
    lines = part.with_columns(
        x=pl.Series([ends[name][0] for name in part["first"]], dtype=pl.Float64),
        y=pl.Series([ends[name][1] for name in part["first"]], dtype=pl.Float64),
        x2=pl.Series([ends[name][0] for name in part["second"]], dtype=pl.Float64),
        y2=pl.Series([ends[name][1] for name in part["second"]], dtype=pl.Float64),
        strength=pl.col("value").abs(),
        grey=pl.col("side") == "interval holds 0",
    ).sort("grey", descending=True)
    return _drawn(nodes, lines)


def _drawn(nodes: pl.DataFrame, lines: pl.DataFrame) -> alt.TopLevelMixin:
    place: dict[str, Any] = {"axis": None, "scale": alt.Scale(domain=[-1.95, 1.95], nice=False)}
    up: dict[str, Any] = {"axis": None, "scale": alt.Scale(domain=[-1.2, 1.2], nice=False)}
    kinds = list(COLOURS)
    shown = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolStrokeWidth=4)
    colour = alt.Color("side:N", scale=alt.Scale(domain=kinds, range=list(COLOURS.values())), legend=shown)
    tips = [style.name("first", "set"), style.name("second", "set")]
    tips += [style.tip(end, end, ".2f") for end in ("value", "low", "high", "plain")]
    edges = alt.Chart(style.rows(lines, 3)).mark_rule().encode(
        x=alt.X("x:Q", **place), y=alt.Y("y:Q", **up), x2="x2:Q", y2="y2:Q", color=colour, tooltip=tips,
        size=alt.Size("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.4, 9]), legend=None),
        opacity=alt.condition("datum.grey", alt.value(0.45), alt.value(0.9)),
    )  # fmt: skip
    base = alt.Chart(style.rows(nodes.with_columns(tx=pl.col("x") * 1.09, ty=pl.col("y") * 1.09)))
    dots = base.mark_point(filled=True, size=90, color=style.INK, opacity=1).encode(
        x=alt.X("x:Q", **place), y=alt.Y("y:Q", **up), tooltip=[style.name("name", "set")]
    )
    layers = [edges, dots]
    sides: Any = (("left", "datum.x > .05"), ("right", "datum.x < -.05"), ("center", "abs(datum.x) <= .05"))
    for align, where in sides:
        labelled = base.transform_filter(where).mark_text(align=align, fontSize=11, color=style.INK)
        layers.append(labelled.encode(x=alt.X("tx:Q", **place), y=alt.Y("ty:Q", **up), text="name:N"))
    whole: alt.TopLevelMixin = alt.layer(*layers).properties(width="container", height=420)
    return whole
