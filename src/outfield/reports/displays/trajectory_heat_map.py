"""Partial correlations of every pair of measures."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.stats.smooth import Smoother
from outfield.trajectory.analysis import Trajectories
from outfield.trajectory.model import Model

RED, PALE, BLUE = "#c0392b", "#f4f4f4", "#2b7bba"
CELL = 31
"""Pixels that a number takes."""


def heat_map(found: Trajectories, smoother: Smoother | None = None) -> Display:
    """Partial correlations given ID performance: below the diagonal partial, above it plain."""
    smoother = smoother or found.smoother
    part = found.compared(smoother)
    figures = tuple(Figure(_map(part, model), model.name, 190 + CELL * len(model.values)) for model in found.models)
    title = f"What is left in common once ID {found.performance.word} is known"
    caption = (
        "Correlation within runs, mean over runs in Fisher z. Below the diagonal: of the residuals of a "
        f"{smoother} on ID {found.performance.word}; above: plain. Blue positive, red negative; a cell's number is "
        "bold where the 95% interval over runs leaves 0 out."
    )
    return Display("heat-map", title, caption, part, figures)


def _map(pairs: pl.DataFrame, model: Model) -> alt.TopLevelMixin:
    part, names = pairs.filter(pl.col("model") == model.name), list(model.values)
    below = part.select(x="first", y="second", value="value", low="low", high="high", what=pl.lit("partial"))
    above = part.select(x="second", y="first", value="plain", low="plain_low", high="plain_high", what=pl.lit("plain"))
    table = pl.concat([below, above]).with_columns(clear=((pl.col("low") > 0) | (pl.col("high") < 0)).fill_null(False))
    x = alt.X("x:N", sort=names, title=None, axis=alt.Axis(labelAngle=-40, orient="bottom", labelLimit=150))
    y = alt.Y("y:N", sort=names, title=None, axis=alt.Axis(labelLimit=190))
    base = alt.Chart(style.rows(table, 3)).encode(x=x, y=y)
    scale = alt.Scale(domain=[-1, 0, 1], range=[RED, PALE, BLUE])
    bar = alt.Legend(
        title="correlation", orient="bottom", gradientLength=260, values=[-1, -0.5, 0, 0.5, 1], format="+.1f"
    )
    tips = [style.name("y", "set"), style.name("x", "set"), style.name("what", "kind")]
    tips += [style.tip(end, end, ".2f") for end in ("value", "low", "high")]
    text = base.mark_text(fontSize=10).encode(
        text=alt.Text("value:Q", format=".2f"),
        color=alt.condition("abs(datum.value) > .62", alt.value("#ffffff"), alt.value("#101010")),
    )
    clear = "datum.clear"
    whole: alt.TopLevelMixin = alt.layer(
        base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(
            color=alt.Color("value:Q", scale=scale, legend=bar), tooltip=tips
        ),
        text.transform_filter(f"!{clear}"),
        base.mark_text(fontSize=10, fontWeight="bold")
        .encode(
            text=alt.Text("value:Q", format=".2f"),
            color=alt.condition("abs(datum.value) > .62", alt.value("#ffffff"), alt.value("#101010")),
        )
        .transform_filter(clear),
    ).properties(width="container", height=alt.Step(26))
    return whole
