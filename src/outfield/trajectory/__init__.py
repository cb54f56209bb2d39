"""Following a training run: the same measures at every checkpoint, and what the test sets have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outfield.trajectory.schedule import log_spaced_then_even
    from outfield.trajectory.tracker import EvalSet, Run, Tracker

__all__ = ["EvalSet", "Run", "Tracker", "log_spaced_then_even"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from outfield.trajectory import schedule, tracker

    return getattr(schedule if name == "log_spaced_then_even" else tracker, name)
