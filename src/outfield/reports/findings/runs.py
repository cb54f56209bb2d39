"""What is told of runs along training: a sign that the window decides, differences below the noise of reruns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from outfield.errors import UserError, plural
from outfield.reports.findings.base import Finding
from outfield.stats.windows import Windows
from outfield.trajectory.analysis import Trajectories

LEAST_SWING = 0.1
"""How far from 0 the mean must be on both sides, for a sign to count."""
MOSTLY_BELOW = 0.5
MOST_NAMED = 3


def of_runs(found: Trajectories) -> Iterator[Finding]:
    """Findings on runs along training."""
    yield from window_decides(found)
    try:
        yield from below_floor(found)
    except UserError:
        return


def window_decides(found: Trajectories) -> Iterator[Finding]:
    """OF032: one window claims a correlation whose sign another turns."""
    turned = [(key, each) for key, each in found.windows.items() if _turned(each)]
    if not turned:
        return
    turned.sort(key=lambda one: -_swing(one[1]))
    shown = "; ".join(_told(key, each, len(found.models) > 1) for key, each in turned[:MOST_NAMED])
    more = f" ({len(turned) - MOST_NAMED} more pairs in the table.)" if len(turned) > MOST_NAMED else ""
    yield Finding(
        "OF032", "warning",
        f"The first checkpoint that is taken decides the sign of {len(turned)} of {len(found.windows)} partial "
        f"correlations given {found.known}: {shown}.{more}",
    )  # fmt: skip


def _turned(found: Windows) -> bool:
    """Whether the mean lies on both sides of 0 by more than a little, and some window's interval leaves 0 out."""
    known = found.comparable
    if not known.any():
        return False
    mean = found.mean[known]
    claimed = (found.low[known] > 0).any() or (found.high[known] < 0).any()
    return bool(mean.min() <= -LEAST_SWING and mean.max() >= LEAST_SWING and claimed)


def _swing(found: Windows) -> float:
    mean = found.mean[found.comparable]
    return float(mean.max() - mean.min())


def _told(key: tuple[str, str, str], found: Windows, several: bool) -> str:
    """A pair over all checkpoints, and from the starts where it is least and most."""
    frame = found.frame().filter(pl.Series(found.comparable))
    whole = frame.row(0, named=True)
    ends = [frame.sort("mean", descending=way).row(0, named=True) for way in (False, True)]
    model, first, second = key
    other = [f"{_at(row)} from {row['start']:,g}" for row in ends if row["start"] != whole["start"]]
    of = f" ({model})" if several else ""
    return f"{first} with {second}{of} is {_at(whole)} over all checkpoints, {', '.join(other)}"


def _at(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f" [{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{row['mean']:+.2f}{interval} ({row['positive']} of {row['runs']} {plural('run')} positive)"


BETWEEN = {
    "runs below": ("smallest difference", "Of pairs of runs at their last checkpoints"),
    "steps below": ("smallest step", "Of neighbouring checkpoints"),
}
"""What is counted: below which limit, and in words."""


def below_floor(found: Trajectories) -> Iterator[Finding]:
    """OF033: most differences between runs, or between neighbouring checkpoints, are no larger than those of reruns."""
    table = found.floor
    for column, (limit, between) in BETWEEN.items():
        lost = table.filter(pl.col(column) > MOSTLY_BELOW).sort(column, descending=True, maintain_order=True)
        shown = lost.head(MOST_NAMED).select("measure", column, limit).iter_rows()
        named = "; ".join(f"{measure} {share:.0%} (below {least:.2g})" for measure, share, least in shown)
        if named:
            yield Finding(
                "OF033", "info",
                f"{between} most differ by no more than reruns of one configuration do, for {lost.height} of "
                f"{table.height} measures: {named}.",
            )  # fmt: skip
