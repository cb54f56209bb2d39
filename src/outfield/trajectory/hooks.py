"""Thin hooks: a training framework tells its step, and the tracker is logged at the steps of a schedule."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from outfield.errors import MissingExtra
from outfield.models.libraries import library
from outfield.trajectory.tracker import Tracker

Measure = Callable[[Any], Mapping[str, Any]]
"""Of a model, for each set whether its items are right."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Logs a tracker at some steps, once each, and leaves the run as it would be without.

    While ``measure`` runs, a torch model is in evaluation mode; afterwards each of its modules is in the mode that it
    was in, and the random states of Python, NumPy and torch (accelerators too) are as they were.

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
        """Measure and log, where the step is one of the schedule and not written yet; whether it was.

        Raises
        ------
        UserError
            ``measure`` leaves out a set of kind ``id`` or ``shift``.
        """
        if step not in self.steps or self.tracker.done(step):
            return False
        with self.tracker.checkpoint(step), _same_chance(), _evaluating(model):
            for name, correct in self.measure(model).items():
                self.tracker.log(step, set=name, correct=correct)
        return True


@contextmanager
def _same_chance() -> Iterator[None]:
    """Random numbers that are drawn inside change nothing outside."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # what training code may draw from
    try:
        with _torch_forked():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _torch_forked() -> AbstractContextManager[None]:
    """``fork_rng`` of the CPU and of all accelerators, those left out that nothing has used yet."""
    if (torch := sys.modules.get("torch")) is None:
        return nullcontext()
    accelerator = torch.accelerator.current_accelerator()
    kind = "cuda" if accelerator is None else accelerator.type
    started = getattr(torch.get_device_module(kind), "is_initialized", lambda: True)()
    devices = range(torch.accelerator.device_count() if started else 0)
    forked: AbstractContextManager[None] = torch.random.fork_rng(devices=devices, device_type=kind)
    return forked


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """A torch model in evaluation mode; afterwards each module is in the mode that it was in."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


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
