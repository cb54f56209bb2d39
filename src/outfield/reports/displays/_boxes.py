"""Box plots from five numbers, counted here and not in the browser."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.reports.displays import _style as style

FIVE = ("worst", "lower", "median", "upper", "best")


def quartiles(table: pl.DataFrame) -> pl.DataFrame:
    """Worst, quartiles, best and n of the column ``value`` for each ``name``.

    Examples
    --------
    >>> quartiles(pl.DataFrame({"name": ["a"] * 5, "value": [0.5, 0.6, 0.7, 0.8, 0.9]})).row(0)
    ('a', 0.5, 0.6, 0.7, 0.8, 0.9, 5)
    """
    value = pl.col("value")
    return table.group_by("name").agg(
        value.min().alias("worst"),
        value.quantile(0.25, "linear").alias("lower"),
        value.median().alias("median"),
        value.quantile(0.75, "linear").alias("upper"),
        value.max().alias("best"),
        value.len().alias("n"),
    )


def chart(table: pl.DataFrame, title: str, mark: str | None = None) -> alt.TopLevelMixin:
    """A line from worst to best, a bar over the middle half, a tick at the median; a cross at the column ``mark``."""
    down = alt.Y("name:N", sort=table["name"].to_list(), title=None)
    base = alt.Chart(style.rows(table))
    tips = [style.name("name", "name"), *(style.tip(name, name) for name in FIVE), style.tip("n", "n", "d")]
    layers = [
        base.mark_rule(color=style.GREY).encode(y=down, x=style.across("worst", title), x2="best:Q"),
        base.mark_bar(color=style.SKY, height=11).encode(
            y=down, x=style.across("lower", title), x2="upper:Q", tooltip=tips
        ),
        base.mark_tick(color="#08306b", thickness=2, height=13).encode(y=down, x=style.across("median", title)),
    ]
    if mark:
        cross = base.mark_point(shape="cross", size=55, filled=True, color=style.VERMILION, opacity=1)
        layers.append(cross.encode(y=down, x=style.across(mark, title), tooltip=[*tips, style.tip(mark, mark)]))
    return alt.layer(*layers).properties(width="container", height=19 * table.height)
