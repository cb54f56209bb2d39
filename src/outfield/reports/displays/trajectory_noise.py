"""How far runs of one configuration differ: the noise floor of reruns."""

from __future__ import annotations

from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import strip
from outfield.trajectory.analysis import Trajectories


def noise_floor(found: Trajectories) -> Display:
    """The noise of each measure at a checkpoint from reruns, and how much lies below it."""
    table = found.floor
    pairs = int(table["pairs"].max())  # type: ignore[arg-type]  # a count
    known = table["binomial"].is_not_null().any()
    columns = {"measure": "measure", "sd": "sd", "low": "low", "high": "high", "step to step": "step to step"}
    columns |= {"binomial": "binomial"} if known else {}
    columns |= {"smallest difference": "two runs differ from", "runs below": "pairs of runs below"}
    columns |= {"smallest step": "two steps differ from", "steps below": "steps below", "checkpoints": "checkpoints"}
    columns |= {"pairs": "reruns"}
    named = table.select(name="measure", value="sd", low="low", high="high", n="checkpoints")
    caption = (
        f"Standard deviation of a measure at one checkpoint, from {pairs} reruns and the runs that they repeat, at the "
        "steps that both have: that of the difference over the root of 2, with a 95% interval that allows for its "
        "autocorrelation. Step to step: from changes of the difference between neighbouring checkpoints, so that a "
        "slow drift apart is not in it. Two runs differ by more than reruns do (95 of 100) from 2.8 sd on; below: the "
        "share of pairs of runs (at their last checkpoints; kin left out), or of neighbouring checkpoints, that do not."
        + (" Binomial: the published standard error of a cell, which has no training noise." if known else "")
    )
    title = f"A checkpoint's noise, from reruns: {float(table['sd'].median()):.4f} in the median"  # type: ignore[arg-type]
    figure = Figure(strip(named, "sd at a checkpoint"))
    return Display("noise-floor", title, caption, table, (figure,), columns, open=True)
