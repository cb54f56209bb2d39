"""Measures along training: generalisation and detection in one figure."""

from __future__ import annotations

import math

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.store.performance import Performance
from outfield.trajectory.analysis import Trajectories

ID_COLOUR = "#8a8f98"
COLOURS = (ID_COLOUR, style.BLUE, style.ORANGE)
"""Of the ID set, of sets of the same labels, of detection."""


STYLES = ("solid", "long dashes", "short dashes", "dots")
"""Of the models, in the order of their names."""
DASHES = ([1, 0], [6, 3], [3, 2], [1, 2])


def trajectories(found: Trajectories) -> Display:
    """Each set along training, with intervals, the performance on ID data behind it."""
    table, chance = found.curves(), _majority(found)
    order = table.filter(pl.col("name") != "ID").sort("metric", "name")["name"].unique(maintain_order=True)
    measure = found.performance
    figures = tuple(Figure(_panel(table, name, measure, chance.get(name)), name, 220) for name in order)
    steps, runs = table["step"].n_unique(), table["runs"].max()
    caption = (
        f"Mean over {runs!s} runs at {steps} steps with Student's 95% interval over runs; grey: ID {measure.word}"
        f"{'; dotted: the share of the more frequent label, which needs no model' if chance else ''}. Steps on a "
        f"symmetric log scale; step 0 is before training.{_styles(table)}"
    )
    return Display("trajectories", "Every set along training", caption, table, figures)


def _styles(table: pl.DataFrame) -> str:
    names = table["strategy"].unique().sort()
    if len(names) == 1:
        return ""
    said = [f"{name} {STYLES[min(i, len(STYLES) - 1)]}" for i, name in enumerate(names)]
    return f" Lines: {', '.join(said)}."


SHORT = "replace(format(datum.value, '~s'), 'G', 'B')"
"""A number of steps or tokens as 1k, 3M, 10B."""


def highest(table: pl.DataFrame) -> float:
    """The last step."""
    return float(table["step"].cast(pl.Float64).max() or 0)  # type: ignore[arg-type]  # a number


def ticks(last: float) -> list[float]:
    """0 and the powers of ten up to a number of steps; those between them by three too, where they are few.

    Examples
    --------
    >>> ticks(40), ticks(200_000)[-3:]
    ([0.0, 1.0, 3.0, 10.0, 30.0], [1000.0, 10000.0, 100000.0])
    """
    within = (1.0, 3.0) if last <= 10_000 else (1.0,)
    tens = [10.0**power for power in range(int(math.log10(max(last, 1))) + 1)]
    return [0.0, *(ten * step for ten in tens for step in within if ten * step <= last)]


def kinds(word: str) -> tuple[str, str, str]:
    """What is drawn, in words: the ID set, sets of the same labels, detection."""
    return f"ID {word}", f"{word} under shift", "AUROC"


def ends(table: pl.DataFrame) -> tuple[float, float]:
    """What the axes span: all intervals, in tenths."""
    low = table.select(pl.min_horizontal("value", pl.col("low").fill_nan(None)).min()).item()
    high = table.select(pl.max_horizontal("value", pl.col("high").fill_nan(None)).max()).item()
    return math.floor(10 * low) / 10, math.ceil(10 * high) / 10


def _majority(found: Trajectories) -> dict[str, float]:
    """Accuracy of the more frequent label on each set, where the rows have it."""
    rows = found.rows.filter(pl.col("role") == "baseline", pl.col("metric") == "accuracy").drop_nulls("ood")
    return dict(rows.group_by("ood").agg(pl.col("value").first()).iter_rows())


def _panel(table: pl.DataFrame, name: str, measure: Performance, chance: float | None) -> alt.TopLevelMixin:
    """A set and the ID set behind it, where both are shares; an axis for all sets of a kind."""
    own = table.filter(pl.col("name") == name)
    detected = "auroc" in own["metric"].to_list()
    alike = (
        pl.col("metric").is_in(["auroc", measure.metric]) if measure.share else pl.col("metric").is_in(own["metric"])
    )
    shown = table.filter(alike)
    part = shown.filter(pl.col("name").is_in([name, "ID"])).with_columns(kind=kind_of(measure.word))
    title = "AUROC" if detected else measure.word
    drawn = lines(part, title, ends(shown), height=150, word=measure.word)
    if chance is None:
        return drawn
    rule = alt.Chart(style.rows(pl.DataFrame({"at": [chance]}))).mark_rule(strokeDash=[2, 3], color=style.INK)
    return alt.layer(rule.encode(y="at:Q"), drawn)  # type: ignore[arg-type]  # a layer of layers


def kind_of(word: str) -> pl.Expr:
    """Which of ``kinds`` a row is of."""
    same, shifted, detection = kinds(word)
    return (
        pl.when(pl.col("name") == "ID")
        .then(pl.lit(same))
        .when(pl.col("metric") == "auroc")
        .then(pl.lit(detection))
        .otherwise(pl.lit(shifted))
    )


def lines(
    table: pl.DataFrame, measure: str, ends: tuple[float, float], *, height: int, word: str, legend: bool = False
) -> alt.TopLevelMixin:
    """Curves with their bands, a colour a kind and dashes a model."""
    shown = (
        alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
        if legend
        else None
    )
    colours = dict(zip(kinds(word), COLOURS, strict=True))
    present = [kind for kind in colours if kind in table["kind"].unique().to_list()]
    scale = alt.Scale(domain=present, range=[colours[kind] for kind in present])
    colour = alt.Color("kind:N", scale=scale, legend=shown)
    x = alt.X(
        "step:Q", title="step", scale=alt.Scale(type="symlog", nice=False),
        axis=alt.Axis(values=ticks(highest(table)), grid=False, labelExpr=SHORT, labelOverlap=True),
    )  # fmt: skip
    span = alt.Scale(domain=list(ends), nice=False)
    y = alt.Y("value:Q", title=measure, scale=span, axis=alt.Axis(tickCount=5, format=".1f"))
    base = alt.Chart(style.rows(table)).encode(x=x, color=colour, detail=["strategy:N", "name:N"])
    band = base.mark_area(opacity=0.16, line=False).encode(
        y=alt.Y("low:Q", title=measure, scale=span), y2="high:Q", stroke=alt.value(None)
    )
    tips = [style.name("strategy", "model"), style.name("name", "measure"), style.tip("step", "step", "d")]
    tips += [style.tip(end, end) for end in ("value", "low", "high")]
    names = table["strategy"].unique().sort().to_list()
    dashes = [DASHES[min(i, len(DASHES) - 1)] for i in range(len(names))]
    scale = alt.Scale(domain=names, range=dashes)
    dash = {"strokeDash": alt.StrokeDash("strategy:N", scale=scale, legend=None)} if len(names) > 1 else {}
    drawn = base.mark_line(strokeWidth=2).encode(y=y, tooltip=tips, **dash)
    whole: alt.TopLevelMixin = alt.layer(band, drawn).properties(width="container", height=height)
    return whole
