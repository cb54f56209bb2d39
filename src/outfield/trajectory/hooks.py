"""Thin hooks: a training framework tells its step, and the tracker is logged at the steps of a schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from outfield.errors import MissingExtra
from outfield.models.libraries import library
from outfield.trajectory.tracker import Tracker

Measure = Callable[[Any], Mapping[str, Any]]
"""Of a model, for each set whether its items are right."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Logs a tracker at some steps, once each.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.trajectory import EvalSet, Run
    >>> tracker = Tracker(Run("demo", "net"), [EvalSet("test", 2, "id")], tempfile.mkdtemp())
    >>> at = Schedule(tracker, (0, 10), lambda model: {"test": [True, model > 5]})
    >>> at(0, 0), at(5, 5), at(10, 10), tracker.done(5), tracker.done(10)
    (True, False, True, False, True)
    """

    tracker: Tracker
    steps: tuple[int, ...]
    measure: Measure

    def __call__(self, step: int, model: Any) -> bool:
        """Measure and log, where the step is one of the schedule and not written yet; whether it was."""
        if step not in self.steps or self.tracker.done(step):
            return False
        for name, correct in self.measure(model).items():
            self.tracker.log(step, set=name, correct=correct)
        return True


def transformers_callback(tracker: Tracker, steps: Iterable[int], measure: Measure) -> Any:
    """A ``transformers.TrainerCallback`` that logs a tracker at ``steps``, 0 (before training) included.

    Parameters
    ----------
    tracker : Tracker
    steps : iterable of int
        See ``log_spaced_then_even``.
    measure : callable
        Of the trainer's model, for each set whether its items are right.

    Raises
    ------
    MissingExtra
        transformers is not installed.

    Examples
    --------
    >>> trainer.add_callback(transformers_callback(tracker, steps, measure))  # doctest: +SKIP
    """
    base, at = library("transformers", "text").TrainerCallback, Schedule(tracker, tuple(steps), measure)

    class Tracking(base):  # type: ignore[misc, valid-type]  # the base is imported on demand
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            at(int(state.global_step), model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            at(int(state.global_step), model)

    return Tracking()


def lightning_callback(tracker: Tracker, steps: Iterable[int], measure: Measure) -> Any:
    """A Lightning ``Callback`` that logs a tracker at ``steps``, 0 (before training) included.

    Parameters and errors as :func:`transformers_callback`.

    Examples
    --------
    >>> Trainer(callbacks=[lightning_callback(tracker, steps, measure)])  # doctest: +SKIP
    """
    base, at = _lightning().Callback, Schedule(tracker, tuple(steps), measure)

    class Tracking(base):  # type: ignore[misc, valid-type]  # the base is imported on demand
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            at(int(trainer.global_step), pl_module)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
            at(int(trainer.global_step), pl_module)

    return Tracking()


def _lightning() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return library(name, "lightning")
        except MissingExtra:
            continue
    raise MissingExtra("lightning", extra="lightning")
