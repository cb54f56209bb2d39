"""The runs of a study, done by an executor: each is a task of its own, so that several go at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

from outfield import temporary_files
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.features.cache import InMemory
from outfield.models.base import Model
from outfield.registry import create
from outfield.store import write
from outfield.strategies import Moment
from outfield.strategies._loop import forget_parts
from outfield.studies.bench import Measured, Settings, applicable, measure
from outfield.studies.executors.base import Event, Executor, Failed, Notify
from outfield.studies.job import Job
from outfield.studies.recipes import TrainedRecipe
from outfield.studies.sets import Sets
from outfield.trajectory.tracker import Tracker
from outfield.types import Estimate

Progress = Callable[[str, int, int], None]
"""Told the run, the checkpoints measured, and how many there are."""


@dataclass(frozen=True)
class TrackOutcome:
    """Where the rows are, and how many checkpoints were measured now or were there already."""

    folder: Path
    measured: int
    present: int
    notes: tuple[str, ...] = ()


class Fact(NamedTuple):
    """A number beside the measures: its metric, its value, the set that it is about, other columns of its row."""

    metric: str
    value: Estimate | float
    about: Member
    columns: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """One training run: what is trained on which sets, what is measured, at which steps, and where it is written.

    Parameters
    ----------
    recipe : TrainedRecipe
    sets : Sets
        What it is trained on.
    measured : Sets
        What is measured: the same, or with fewer training items for detectors to be fitted on.
    tracker : Tracker
    steps : tuple of int
    jobs : tuple of Job
        The model's own measures, and the detectors.
    settings : Settings
    checkpoint : Path
    """

    recipe: TrainedRecipe
    sets: Sets
    measured: Sets
    tracker: Tracker
    steps: tuple[int, ...]
    jobs: tuple[Job, ...]
    settings: Settings
    checkpoint: Path

    def follow(self, progress: Progress) -> None:
        """Train from the last checkpoint and measure what is not written."""
        name = self.tracker.run.name
        if all(map(self.tracker.done, self.steps)):
            progress(name, len(self.steps), len(self.steps))
            return
        resume = resumable(self.checkpoint, self.tracker, self.steps)
        try:
            self.train(progress, resume)
        except UserError as error:
            if resume is None:
                raise
            warnings.warn(f"{name} starts again: {error}", write.DamagedFileWarning, stacklevel=2)
            self.train(progress, None)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoint, and the parts of it that processes wrote: the run is at its end."""
        with suppress(OSError):  # one that cannot be removed does no harm
            self.checkpoint.unlink(missing_ok=True)
            forget_parts(self.checkpoint)

    def train(self, progress: Progress, resume: Path | None) -> None:
        """Train, from a checkpoint where there is one, and measure at the steps."""
        self.recipe.train(self.sets, on_step=lambda moment: self.at(moment, progress), resume=resume)

    def at(self, moment: Moment, progress: Progress, **options: Any) -> None:
        """Measure a moment that is one of the steps; ``options`` are those of ``model``."""
        if moment.step not in self.steps:
            return
        if not self.tracker.done(moment.step):
            self._measure(moment, self.model(moment, **options))
        moment.save(self.checkpoint)
        progress(self.tracker.run.name, self.steps.index(moment.step) + 1, len(self.steps))

    def model(self, moment: Moment) -> Model:
        """What is measured: here a copy of the network."""
        return self.recipe.model(moment.snapshot(), self.sets)

    @property
    def writes(self) -> bool:
        """Whether this process writes."""
        return True

    def facts(self, step: int, model: Model, network: Any) -> Iterator[Fact]:
        """What rows say beside the measures."""
        if step == 0:
            size = sum(weight.numel() for weight in network.parameters())
            yield Fact("parameters", size, self.sets.test)

    def _measure(self, moment: Moment, model: Model) -> None:
        step, sets = moment.step, self.measured
        jobs, left_out = applicable(model, self.jobs)
        with model.evaluating():
            subject = self.tracker.run.at(step)
            found = [*measure(model, sets, sets.task, jobs, InMemory(), subject=subject, settings=self.settings)]
        if not self.writes:
            return
        with self.tracker.checkpoint(step):
            for one in found:
                self.tracker.add(step, one)
            for job in (job for job in self.jobs if job.title in left_out):
                self.tracker.add(step, Measured(job, failure="the model has not what it reads"))
            for metric, value, about, columns in self.facts(step, model, moment.network):
                self.tracker.measure(step, metric, value, set=about.name, **columns)


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

    runs: Sequence[TrainingRun]

    def __call__(self, number: int, notify: Notify) -> None:
        self.runs[number].follow(lambda name, done, total: notify(Event(name, "checkpoints", done, total)))


def follow(
    runs: Sequence[TrainingRun],
    folder: Path,
    manifest: str,
    progress: Progress,
    *,
    processes: int = 1,
    threads: int = 1,
    device: str = "cpu",
    executor: Executor | None = None,
    notes: tuple[str, ...] = (),
) -> TrackOutcome:
    """Follow runs, several at once, to the same rows as one after the other; what is written is not done again.

    Parameters
    ----------
    runs : sequence of TrainingRun
    folder : path
        The study's folder.
    manifest : str
        The study as JSON.
    progress : callable
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
    left = list(_unfinished(runs, there, progress))
    executor = executor or create("executors", "local", processes=processes, threads=threads, device=device)
    ends = executor.run(_Work(left), range(len(left)), lambda event: progress(event.task, event.done, event.total))
    failed = {left[end.index].tracker.run.name: end for end in ends if isinstance(end, Failed)}
    for name, end in failed.items():
        if not end.by_user:
            raise RuntimeError(f"The run {name} failed:\n{end.reason}")
    if failed:
        reasons = "\n".join(f"{name}: {end.reason}" for name, end in failed.items())
        beside = f"{len(failed)} of {len(runs)} runs failed; the others are finished.\n" if len(runs) > 1 else ""
        raise UserError(f"{beside}{reasons}")
    written = write.done(folder) & set(wanted)
    return TrackOutcome(folder, len(written) - present, present, (*notes, *_gaps(runs, written)))


def _unfinished(runs: Sequence[TrainingRun], written: Set[str], progress: Progress) -> Iterator[TrainingRun]:
    """Runs with a step that is not written; of the others it is told that all is there, and no process starts."""
    for run in runs:
        if all(run.tracker.key(step) in written for step in run.steps):
            run.tidy()
            progress(run.tracker.run.name, len(run.steps), len(run.steps))
        else:
            yield run


def _gaps(runs: Sequence[TrainingRun], written: Set[str]) -> Iterator[str]:
    """Which checkpoints have no rows though their run ended."""
    for run in runs:
        if steps := [step for step in run.steps if run.tracker.key(step) not in written]:
            yield f"{run.tracker.run.name}: not measured at step {', '.join(map(str, steps))}. Track the study again."
