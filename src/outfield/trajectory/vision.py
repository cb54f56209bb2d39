"""The bridge between the two studies: accuracies under shift and AUROCs of detectors along training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from outfield import keys, registry
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.features.cache import InMemory
from outfield.places import file_name
from outfield.store import write
from outfield.strategies._loop import Moment
from outfield.studies.bench import Settings, applicable, measure
from outfield.studies.executors.base import Executor
from outfield.studies.job import Job
from outfield.studies.recipes import TrainedRecipe, recipes
from outfield.studies.sets import Sets, load, ordered_like
from outfield.trajectory.runs import Outcome, Told, follow, resumable
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.tracker import Run, Tracker


def track(
    spec: Trajectory,
    folder: Path | str | None = None,
    *,
    told: Told = lambda *_: None,
    sets: Sets | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Train the runs of a study and measure each at its checkpoints; again, and it goes on where it was.

    Parameters
    ----------
    spec : Trajectory
    folder : path, optional
        By default ``results/NAME``.
    told : callable, optional
    sets : Sets, optional
        The study's data, where it is loaded already.
    executor : Executor, optional
        By default processes on this machine, as many as the study's ``resources`` say.

    Raises
    ------
    Problems
        Data that cannot be used.
    UserError
        The folder cannot be written; a run that failed; a set of the same labels has other classes.
    """
    folder = Path(folder or Path("results") / spec.name)
    sets = sets or load(spec)
    elsewhere = tuple(_same_labels(spec, sets))
    runs = [_Run.of(spec, sets, elsewhere, recipe, folder) for recipe in recipes(spec, sets)]
    resources = spec.resources
    return follow(
        runs, folder, spec.model_dump_json(indent=2), told, processes=resources.processes, threads=resources.threads,
        executor=executor,
    )  # fmt: skip


def _same_labels(spec: Trajectory, sets: Sets) -> Iterator[Member]:
    for one in spec.same_labels:
        data = ordered_like(one.source.build("sources").load(), sets.train.data.classes)
        if data.labels is None or int(data.labels.max()) >= sets.classes:
            raise UserError(
                f"Expected the {sets.classes} ID classes as labels of {one.name!r}, but got "
                f"{'none' if data.labels is None else sorted(set(data.labels.tolist()))}. Choose the ID classes of it."
            )
        yield Member(one.name, "shift", data)


@dataclass(frozen=True, eq=False)
class _Run:
    """One training run: what is measured, where it is written, at which steps."""

    spec: Trajectory
    sets: Sets
    recipe: TrainedRecipe
    tracker: Tracker
    steps: tuple[int, ...]
    checkpoint: Path
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, spec: Trajectory, sets: Sets, elsewhere: tuple[Member, ...], recipe: Any, folder: Path) -> _Run:
        detectors = [[one.name, one.params] for one in spec.detectors]
        code = keys.of_code(cls, *(registry.find("detectors", one.name) for one in spec.detectors))
        held = keys.key(val=sets.val.data.digest(), detectors=detectors, recipe=recipe.key, code=code)
        about = Run(spec.name, recipe.strategy, recipe.seed, spec.id_name, recipe.family, held, spec.task_name)
        sets = replace(sets, shifts=(*sets.shifts, *elsewhere))
        listed = (sets.test, *sets.shifts, *sets.ood)
        jobs = (Job("model", None), *(Job(one.name, one.build("detectors")) for one in spec.detectors))
        steps = spec.checkpoints.steps(recipe.training.total_steps(len(sets.train.data), recipe.epochs))
        place = folder / "checkpoints" / f"{file_name(recipe.name)}.{held}.ckpt"
        return cls(spec, sets, recipe, Tracker(about, listed, folder), steps, place, jobs)

    def follow(self, told: Told) -> None:
        """Train from the last checkpoint and measure what is not written."""
        if all(map(self.tracker.done, self.steps)):
            told(self.recipe.name, len(self.steps), len(self.steps))
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        resume = resumable(self.checkpoint, self.tracker, self.steps)
        try:
            self._train(told, resume)
        except UserError as error:
            if resume is None:
                raise
            warnings.warn(f"{self.recipe.name} starts again: {error}", write.DamagedFileWarning, stacklevel=2)
            self._train(told, None)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoint: the run is at its end. One that cannot be removed does no harm."""
        with suppress(OSError):
            self.checkpoint.unlink(missing_ok=True)

    def _train(self, told: Told, resume: Path | None) -> None:
        self.recipe.train(self.sets, on_step=lambda moment: self._at(moment, told), resume=resume)

    def _at(self, moment: Moment, told: Told) -> None:
        if moment.step not in self.steps:
            return
        if not self.tracker.done(moment.step):
            self._measure(moment.step, moment.snapshot())
        moment.save(self.checkpoint)
        told(self.recipe.name, self.steps.index(moment.step) + 1, len(self.steps))

    def _measure(self, step: int, network: nn.Module) -> None:
        model = self.recipe.model(network, self.sets)
        jobs, _ = applicable(model, self.jobs)
        subject = self.tracker.run.at(step)
        settings = Settings(batch=self.spec.batch, half=self.spec.half, against="val", halves=True)
        with self.tracker.checkpoint(step):
            for found in measure(
                model, self.sets, self.sets.task, jobs, InMemory(), subject=subject, settings=settings
            ):
                self.tracker.add(step, found)
            if step == 0:
                size = sum(weight.numel() for weight in network.parameters())
                self.tracker.measure(step, "parameters", size, set=self.sets.test.name)
