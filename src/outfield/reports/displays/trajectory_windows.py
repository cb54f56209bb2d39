"""Whether what the sets have in common hangs on the first checkpoint that is taken."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.trajectory_curves import SHORT, ticks
from outfield.stats.windows import Windows
from outfield.trajectory.analysis import Trajectories

MOST_DRAWN = 12
"""Pairs that are drawn: those that swing most; the table has all."""
MOST_RUNS, MOST_STARTS = 20, 60
"""Runs, and starts, that a picture holds."""


def windows(found: Trajectories) -> Display:
    """The estimate of each pair over all start points."""
    if not found.windows:
        raise UserError("Expected two runs of a model for a mean over runs, but there is one. Add runs.")
    table = found.window_frame().with_columns(
        swing=pl.col("most") - pl.col("least"),
        sign=pl.when(pl.col("decides")).then(pl.lit("both, clear"))
        .when(pl.col("stable")).then(pl.lit("one")).otherwise(pl.lit("both")),
        turns_at=pl.col("turns").list.eval(pl.element().round(0).cast(pl.Int64).cast(pl.String)).list.join(", "),
    ).sort("swing", descending=True, nulls_last=True, maintain_order=True).drop("turns")  # fmt: skip
    table = table.with_columns(_whole(table[name]) for name in ("least from", "most from"))
    drawn = table.drop_nulls("swing").head(MOST_DRAWN)
    several = len(found.models) > 1
    figures = tuple(
        Figure(_chart(found.windows[key]), f"{key[1]} ~ {key[2]}{f' ({key[0]})' if several else ''}", 260)
        for key in drawn.select("model", "first", "second").iter_rows()
    )
    columns = {"model": "model"} if several else {}
    columns |= {"first": "set", "second": "and set", "whole": "all checkpoints", "least": "least", "least from": "from"}
    columns |= {"most": "most", "most from": "from", "sign": "signs", "turns_at": "sign turns at"}
    return Display("windows", _title(table), _caption(found, table), table, figures, columns)


def _whole(steps: pl.Series) -> pl.Series:
    """Steps without decimals, where none has any."""
    return steps.cast(pl.Int64) if (steps == steps.round()).all() else steps


def _title(table: pl.DataFrame) -> str:
    known = table.drop_nulls("stable")
    steady = known.filter("stable").height
    return f"From every start point: the sign of {steady} of {known.height} pairs does not hang on it"


def _caption(found: Trajectories, table: pl.DataFrame) -> str:
    drawn = f" Drawn: the {MOST_DRAWN} of {table.height} pairs that swing most." if table.height > MOST_DRAWN else ""
    return (
        f"Partial correlation given ID {found.performance.word} (linear) within runs, over the checkpoints from a "
        "start to the end; starts are on a symmetric log scale. Thin: runs. Blue: mean over runs in Fisher z, with its "
        "pointwise 95% interval over independent units; pale where some have ended. Least and most: over the starts "
        "from which every unit has six checkpoints left. Signs: both, clear, where the interval of one window lies "
        f"above 0 and that of another below.{drawn}"
    )


def _chart(found: Windows) -> alt.TopLevelMixin:
    at = np.flatnonzero(np.isfinite(found.mean))
    at = at[np.unique(np.linspace(0, len(at) - 1, min(MOST_STARTS, len(at))).round().astype(int))]
    runs = np.unique(np.linspace(0, len(found.per_run) - 1, min(MOST_RUNS, len(found.per_run))).round().astype(int))
    thin = pl.DataFrame({
        "start": np.tile(found.starts[at], len(runs)), "value": found.per_run[np.ix_(runs, at)].ravel(),
        "run": np.repeat(runs, len(at)),
    }).fill_nan(None).drop_nulls()  # fmt: skip
    mean = found.frame().with_columns(comparable=pl.Series(found.comparable))[at]
    places = alt.Axis(values=ticks(float(found.starts[at].max())), grid=False, labelExpr=SHORT, labelOverlap=True)
    x = alt.X("start:Q", title="first checkpoint", scale=alt.Scale(type="symlog", nice=False), axis=places)
    y = alt.Y("value:Q", title="partial correlation", scale=alt.Scale(domain=[-1, 1]), axis=alt.Axis(tickCount=5))
    tips = [style.tip("start", "from", ",d"), *(style.tip(end, end, ".2f") for end in ("mean", "low", "high"))]
    tips += [style.tip("positive", "runs positive", "d"), style.tip("runs", "runs", "d")]
    base = alt.Chart(style.rows(mean, 3)).encode(x=x)
    zero = alt.Chart(style.rows(pl.DataFrame({"at": [0.0]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    lines = alt.Chart(style.rows(thin, 3)).mark_line(strokeWidth=0.8, opacity=0.4, color=style.INK)
    known = base.transform_filter("datum.comparable")
    low = alt.Y("low:Q", title="partial correlation")
    dots = {"size": 30, "color": style.BLUE}
    whole: alt.TopLevelMixin = alt.layer(
        lines.encode(x=x, y=y, detail="run:N"),
        zero.encode(y="at:Q"),
        base.mark_line(strokeWidth=1.5, color=style.BLUE, opacity=0.35).encode(y="mean:Q"),
        known.mark_area(opacity=0.2, color=style.BLUE).encode(y=low, y2="high:Q"),
        known.mark_line(strokeWidth=2.5, color=style.BLUE, point=dots).encode(y="mean:Q", tooltip=tips),
    ).properties(width="container", height=170)
    return whole
