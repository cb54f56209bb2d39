"""Colours and marks of all displays: told apart without colour vision, on light and on dark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Literal

import altair as alt
import numpy as np
import polars as pl

from outfield.reports.results import CATEGORIES, FAMILIES, INFORMATION, in_order
from outfield.stats import _plots

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    *("#2b7bba", "#e08a00", "#139e77", "#d1495b", "#b07aa1", "#56b4e9", "#8a8f98"),
)
FAMILY = dict(
    zip(
        FAMILIES,
        (
            *(GREY, VERMILION, BLUE, GREEN, ORANGE, PURPLE, "#a5703a", "#c4b000", "#56c1c1"),
            *("#7a5bd0", "#d977b2", "#5c8a3a", "#b0574a", "#4a6fa5"),
        ),
        strict=False,
    )
)
PENTAGON = "M0-1 .95-.31 .59.81-.59.81-.95-.31Z"
MARKS = (
    *("cross", "circle", "square", "diamond", "triangle-up", "triangle-down", "triangle-right", "triangle-left"),
    PENTAGON,
)
SHAPES = dict(zip(FAMILIES, cycle(MARKS), strict=False))
"""More families than marks: a mark comes again, in another colour."""
USED = dict(zip(INFORMATION, (BLUE, ORANGE, GREEN, PURPLE, VERMILION), strict=True))
CATEGORY = dict(zip(("ID", *CATEGORIES), (GREY, VERMILION, BLUE, GREEN, ORANGE), strict=True))
OTHERS = (PURPLE, SKY, "#a5703a", "#c4b000")
"""Colours of OOD categories with names of their own."""
HEAT: Literal["cividis"] = "cividis"
INK = "#808080"
LABEL = (0.2, 0.06)
"""Width and height that a label takes, as shares of a chart."""


def rows(table: pl.DataFrame, digits: int = 5) -> alt.Data:
    """A frame as inline data, floats rounded."""
    floats = [name for name, kind in table.schema.items() if kind.is_float()]
    values = table.with_columns(pl.col(floats).round(digits)).to_dicts()
    return _plots.data(values)


def family(present: Sequence[str]) -> dict[str, Any]:
    """Colour and shape by family; the page draws one legend for all charts of a display."""
    names = in_order(present, FAMILIES)
    colours = [FAMILY.get(name, GREY) for name in names]
    shapes = [SHAPES.get(name, "circle") for name in names]
    return {
        "color": alt.Color("family:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        "shape": alt.Shape("family:N", scale=alt.Scale(domain=names, range=shapes), legend=None),
    }


def used(present: Sequence[str]) -> alt.Color:
    """Colour by the information that a detector uses."""
    names = in_order(sorted(set(present)), INFORMATION)
    colours = [USED.get(name, GREY) for name in names]
    return alt.Color("information:N", scale=alt.Scale(domain=names, range=colours), legend=None)


def category(name: str, present: Sequence[str]) -> str:
    """The colour of ID, or of an OOD category; a category with a name of its own has a colour by its place.

    Examples
    --------
    >>> category("near", ("near",)) == VERMILION, category("text", ("near", "text")) == PURPLE
    (True, True)
    """
    own = [one for one in present if one not in CATEGORY]
    return CATEGORY[name] if name in CATEGORY else OTHERS[own.index(name) % len(OTHERS)]


def contained(chart: Any) -> alt.TopLevelMixin:
    """A finished chart as wide as its place on the page, without its title, which the page shows."""
    bare = chart.copy()
    bare.title, bare.config, bare.width = alt.Undefined, alt.Undefined, "container"
    found: alt.TopLevelMixin = bare
    return found


def across(field: str, title: str, ticks: int = 7) -> alt.X:
    """A quantitative axis to the right, fitted to the data."""
    return alt.X(f"{field}:Q", axis=alt.Axis(tickCount=ticks, title=title), scale=alt.Scale(zero=False, nice=True))


ERRORS = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
FEW_ERRORS = (0.5, 0.2, 0.05, 0.01, 0.002)


def across_share(field: str, title: str, ticks: Sequence[float] = ERRORS) -> alt.X:
    """Shares of items answered rightly, to the right on the log scale of the error, from a field that holds errors.

    .9, .99 and .999 lie equally far apart: near 1 differences stay visible.
    """
    text = "format(1 - datum.value, datum.value < 0.005 ? '.4~f' : '.3~f')"
    axis = alt.Axis(title=title, values=list(ticks), labelExpr=text, labelOverlap="greedy")
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(type="log", reverse=True, nice=False, padding=14))


def with_errors(table: pl.DataFrame, n: int, share: str) -> pl.DataFrame:
    """Columns error, error_low, error_high beside those of a share, at least half an error in n."""
    ends = [end for end in ("", "_low", "_high") if f"{share}{end}" in table.columns]
    floor = 1 / (2 * max(n, 1))
    errors = [(1 - pl.col(f"{share}{end}")).clip(lower_bound=floor).alias(f"error{end}") for end in ends]
    return table.with_columns(errors)


def up(field: str, title: str, ticks: int = 6) -> alt.Y:
    """A quantitative axis upwards, fitted to the data."""
    return alt.Y(f"{field}:Q", axis=alt.Axis(tickCount=ticks, title=title), scale=alt.Scale(zero=False, nice=True))


def tip(field: str, title: str, format: str = ".3f") -> alt.Tooltip:
    """A number in a tooltip."""
    return alt.Tooltip(f"{field}:Q", title=title, format=format)


def name(field: str, title: str) -> alt.Tooltip:
    """A name in a tooltip."""
    return alt.Tooltip(f"{field}:N", title=title)


def labels(table: pl.DataFrame, x: str, y: str, names: str) -> pl.Series:
    """Names of the points whose labels fall on no other label or point, outer points first; empty for the others.

    Examples
    --------
    >>> points = pl.DataFrame({"x": [0.0, 0.01, 1.0], "y": [0.0, 0.0, 1.0], "name": ["a", "b", "c"]})
    >>> labels(points, "x", "y", "name").to_list()
    ['', 'b', 'c']
    """
    if table.is_empty():
        return pl.Series(dtype=pl.String)
    places = table.select(x, y).to_numpy()
    places = (places - places.mean(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    kept: list[int] = []
    for point in np.argsort(-np.abs(places).max(axis=1), kind="stable"):
        apart, right = np.abs(places[kept] - places[point]), places - places[point]
        taken = ((apart[:, 0] < LABEL[0]) & (apart[:, 1] < LABEL[1])).any()
        over = (right[:, 0] > 0.005) & (right[:, 0] < LABEL[0] / 2) & (np.abs(right[:, 1]) < LABEL[1] / 3)
        if not taken and not over.any():
            kept.append(int(point))
    return pl.Series([name if at in kept else "" for at, name in enumerate(table[names])], dtype=pl.String)


def cells(
    table: pl.DataFrame, x: Sequence[str], y: Sequence[str], titles: tuple[str, str], value: str = "AUROC"
) -> alt.TopLevelMixin:
    """A heat map of the columns x, y, value in [0, 1]; numbers in the cells where they fit."""
    low = min(0.5, float(table["value"].min() or 0.5))  # type: ignore[arg-type]  # a float column
    across = alt.X("x:N", sort=list(x), title=titles[0], axis=alt.Axis(labelAngle=-40, orient="top", labelLimit=140))
    down = alt.Y("y:N", sort=list(y), title=titles[1])
    base = alt.Chart(rows(table, 4)).encode(x=across, y=down)
    tips = [name("y", titles[1] or "row"), name("x", titles[0] or "column"), tip("value", value)]
    bar = alt.Legend(title=value, orient="bottom", gradientLength=220, format=".2f")
    colour = alt.Color("value:Q", scale=alt.Scale(scheme=HEAT, domain=[low, 1.0], clamp=True), legend=bar)
    layers = [base.mark_rect().encode(color=colour, tooltip=tips)]
    if len(x) <= 20:
        dark_cell = alt.condition(f"datum.value < {(low + 1) / 2}", alt.value("#ffffff"), alt.value("#101010"))
        layers.append(base.mark_text(fontSize=10).encode(text=alt.Text("value:Q", format=".2f"), color=dark_cell))
    return alt.layer(*layers).properties(width="container", height=19 * len(y))


def styled(chart: Any) -> alt.TopLevelMixin:
    """Transparent ground and mid-grey ink: legible in a light and in a dark notebook."""
    done: alt.TopLevelMixin = (
        chart.configure(background="transparent")
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, domainColor=INK, tickColor=INK, gridColor=INK, gridOpacity=0.15)
        .configure_title(color=INK, anchor="start")
        .configure_legend(labelColor=INK, titleColor=INK)
    )
    return done
