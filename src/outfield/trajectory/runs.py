"""The runs of a study, done by an executor: each is a task of its own, so that several go at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

from outfield import temporary_files
from outfield.errors import UserError
from outfield.registry import create
from outfield.store import write
from outfield.studies.executors.base import Event, Executor, Failed, Notify
from outfield.trajectory.tracker import Tracker

Told = Callable[[str, int, int], None]
"""Told the run, the checkpoints measured, and how many there are."""


@dataclass(frozen=True)
class Outcome:
    """Where the rows are, and how many checkpoints were measured now or were there already."""

    folder: Path
    measured: int
    present: int
    notes: tuple[str, ...] = ()


class Follow(Protocol):
    """A training run that can be followed to its end."""

    @property
    def tracker(self) -> Tracker:
        """What its rows go through."""

    @property
    def steps(self) -> tuple[int, ...]:
        """When it is measured."""

    def follow(self, told: Told) -> None:
        """Train from the last checkpoint and measure what is not written."""

    def tidy(self) -> None:
        """Remove the checkpoint: the run is at its end."""


def resumable(checkpoint: Path, tracker: Tracker, steps: Sequence[int]) -> Path | None:
    """A checkpoint to go on from, or None where a step up to it is not written: a run that goes on never sees it again.

    One that cannot be read is given back too: the training loop says what is wrong with it.
    """
    import torch

    if not checkpoint.exists():
        return None
    try:
        reached = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)["step"]
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, LookupError, TypeError):
        return checkpoint
    return checkpoint if all(tracker.done(step) for step in steps if step <= reached) else None


@dataclass(frozen=True)
class _Work:
    """What a process does with the number of a run; it is sent to each process once, with all runs."""

    runs: Sequence[Follow]

    def __call__(self, number: int, notify: Notify) -> None:
        self.runs[number].follow(lambda name, done, total: notify(Event(name, "checkpoints", done, total)))


def follow(
    runs: Sequence[Follow],
    folder: Path,
    manifest: str,
    told: Told,
    *,
    processes: int = 1,
    threads: int = 1,
    device: str = "cpu",
    executor: Executor | None = None,
    notes: tuple[str, ...] = (),
) -> Outcome:
    """Follow runs, several at once, to the same rows as one after the other; what is written is not done again.

    Parameters
    ----------
    runs : sequence of Follow
    folder : path
        The study's folder.
    manifest : str
        The study as JSON.
    told : callable
    processes, threads : int
        Of the executor on this machine.
    device : str
        With ``cuda`` and several processes, each has one of the GPUs, in turn.
    executor : Executor, optional
        Another one.
    notes : tuple of str
        Of the outcome.

    Raises
    ------
    UserError
        Runs that failed, each with its reason; the others are finished. The folder cannot be written.
    RuntimeError
        A run that failed by a fault of the program.
    """
    wanted = [run.tracker.key(step) for run in runs for step in run.steps]
    write.begin(folder, wanted, manifest)
    temporary_files.sweep(folder.glob("checkpoints/.*.part"))
    there = write.done(folder) & set(wanted)
    present = len(there)
    left = list(_unfinished(runs, there, told))
    executor = executor or create("executors", "local", processes=processes, threads=threads, device=device)
    ends = executor.run(_Work(left), range(len(left)), lambda event: told(event.task, event.done, event.total))
    failed = {left[end.index].tracker.run.name: end for end in ends if isinstance(end, Failed)}
    for name, end in failed.items():
        if not end.by_user:
            raise RuntimeError(f"The run {name} failed:\n{end.reason}")
    if failed:
        reasons = "\n".join(f"{name}: {end.reason}" for name, end in failed.items())
        beside = f"{len(failed)} of {len(runs)} runs failed; the others are finished.\n" if len(runs) > 1 else ""
        raise UserError(f"{beside}{reasons}")
    written = write.done(folder) & set(wanted)
    return Outcome(folder, len(written) - present, present, (*notes, *_gaps(runs, written)))


def _unfinished(runs: Sequence[Follow], written: Set[str], told: Told) -> Iterator[Follow]:
    """Runs with a step that is not written; of the others it is told that all is there, and no process starts."""
    for run in runs:
        if all(run.tracker.key(step) in written for step in run.steps):
            run.tidy()
            told(run.tracker.run.name, len(run.steps), len(run.steps))
        else:
            yield run


def _gaps(runs: Sequence[Follow], written: Set[str]) -> Iterator[str]:
    """Which checkpoints have no rows though their run ended."""
    for run in runs:
        if steps := [step for step in run.steps if run.tracker.key(step) not in written]:
            yield f"{run.tracker.run.name}: not measured at step {', '.join(map(str, steps))}. Track the study again."
