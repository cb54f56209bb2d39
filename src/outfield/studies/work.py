"""What a worker of a study does: obtain a model, measure it, write its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from outfield.features.cache import Cache
from outfield.models.base import Model
from outfield.store import write
from outfield.store.subject import Subject
from outfield.studies.bench import Measured, Settings, applicable, measure
from outfield.studies.executors.base import Event, Notify
from outfield.studies.job import Job, ModelJobs
from outfield.studies.outcome import Spent
from outfield.studies.recipes import Recipe
from outfield.studies.sets import Sets
from outfield.studies.spec import Spec


@dataclass(frozen=True)
class Study:
    """What the models of a study share; called with one of them and its jobs, it does these."""

    spec: Spec
    sets: Sets
    folder: Path
    cache: Cache

    def __call__(self, task: ModelJobs, notify: Notify) -> Spent:
        recipe = task.recipe
        model = self.model(task, notify)
        jobs, left_out = applicable(model, task.jobs)
        scored = _teller(notify, recipe.name, "scoring")
        failed, warned = [], dict[str, list[str]]()
        for done, found in enumerate(self._measured(model, jobs, recipe, notify), 1):
            if found.failure:
                failed.append((found.job.title, found.failure))
            else:
                keep(found, self.folder, model.name)
            for text in found.warnings:
                warned.setdefault(text, []).append(found.job.title)
            scored(done + len(left_out), len(task.jobs))
        warnings = tuple((text, tuple(titles)) for text, titles in warned.items())
        return Spent(recipe.name, len(jobs) - len(failed), model.forwards, left_out, tuple(failed), warnings)

    def _measured(self, model: Model, jobs: tuple[Job, ...], recipe: Recipe, notify: Notify) -> Iterator[Measured]:
        return measure(
            model,
            self.sets,
            self.sets.task,
            jobs,
            self.cache,
            subject=self.subject(recipe),
            settings=self.settings,
            progress=_teller(notify, recipe.name, "extraction"),
        )

    def subject(self, recipe: Recipe) -> Subject:
        """What rows say of a model."""
        spec = self.spec
        return Subject(
            spec.name, recipe.name, recipe.strategy, recipe.family, recipe.seed, spec.id_name, spec.task_name
        )

    @property
    def settings(self) -> Settings:
        """How the study measures its models."""
        resources = self.spec.resources
        return Settings(
            batch=self.spec.batch,
            half=self.spec.half,
            device=resources.device,
            shards=resources.shards,
            baselines=self.spec.tuning is not None,
            fit_on=self.spec.fit_on,
        )

    def model(self, task: ModelJobs, notify: Notify) -> Model:
        """The model that some jobs are about, trained where it is not there."""
        training = _teller(notify, task.recipe.name, "training")
        return task.recipe.obtain(self.sets, self.folder / "models", training, self.spec.resources.device)


def keep(found: Measured, folder: Path, model: str) -> None:
    """Write what a job gave; the items first, so that rows that exist have theirs."""
    write.scores(folder, model, found.job.key, found.items)
    write.rows(folder, found.job.key, found.rows, scored=model)


def _teller(notify: Notify, task: str, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: notify(Event(task, stage, done, total))
