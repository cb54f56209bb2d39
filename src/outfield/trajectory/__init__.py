"""Following a training run: the same measures at every checkpoint, and what the test sets have in common."""

from outfield.trajectory.schedule import log_spaced_then_even
from outfield.trajectory.tracker import EvalSet, Run, Tracker

__all__ = ["EvalSet", "Run", "Tracker", "log_spaced_then_even"]
