"""Extraction in shards: the parts of one model's data sets, made by several processes before its jobs are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outfield.studies.bench import applicable, extract_shards
from outfield.studies.executors.base import Done, Event, Executor, Notify
from outfield.studies.job import ModelJobs
from outfield.studies.outcome import Spent
from outfield.studies.recipes import TrainedRecipe
from outfield.studies.work import Study


@dataclass(frozen=True)
class Shard:
    """One shard of all data sets that a model's jobs read."""

    task: ModelJobs
    number: int


@dataclass(frozen=True)
class Training:
    """Called with a model and its jobs, it makes the weights, which stay in the study's folder."""

    study: Study

    def __call__(self, task: ModelJobs, notify: Notify) -> None:
        self.study.model(task, notify)


@dataclass(frozen=True)
class Extraction:
    """``work(shard, notify)`` extracts a shard into the study's cache."""

    study: Study

    def __call__(self, shard: Shard, notify: Notify) -> Spent:
        model = self.study.model(shard.task, notify)
        study, (jobs, _) = self.study, applicable(model, shard.task.jobs)
        extract_shards(
            model, study.sets, jobs, study.cache, number=shard.number, settings=study.settings, progress=_silent
        )
        return Spent(shard.task.recipe.name, 0, model.forwards, (), ())


def _silent(_done: int, _total: int) -> None:
    """No word of batches: what counts is how many shards of a model are there."""


def extract_ahead(study: Study, tasks: Sequence[ModelJobs], executor: Executor, notify: Notify) -> tuple[Spent, ...]:
    """Extract every set for every model in the shards that the study asks for, as many at a time as the executor runs.

    Models that are to be trained are trained first. What fails here is tried again, and told, when the model's jobs
    are done.
    """
    if (shards := study.spec.resources.shards) == 1:
        return ()
    trained = [task for task in tasks if isinstance(task.recipe, TrainedRecipe)]
    for _ in executor.run(Training(study), trained, notify) if trained else ():
        pass
    parts = [Shard(task, number) for task in tasks for number in range(shards)]
    made: list[Spent] = []
    for end in executor.run(Extraction(study), parts, notify):
        if isinstance(end, Done):
            made.append(end.result)
            done = sum(one.task == end.result.task for one in made)
            notify(Event(end.result.task, "extraction", done, shards))
    return tuple(made)
