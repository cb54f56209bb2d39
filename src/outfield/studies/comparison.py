"""The whole comparison of a study with the rows that are there, and what is not done yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from outfield.features.cache import Cache
from outfield.store import write
from outfield.studies.executors.base import Done, Executor, Failed, Notify
from outfield.studies.executors.base import of as executor_of
from outfield.studies.finished import Seen
from outfield.studies.job import Study
from outfield.studies.outcome import Failure, Outcome
from outfield.studies.plan import Task, plan
from outfield.studies.sets import Sets
from outfield.studies.sharding import extract_ahead
from outfield.studies.spec import Spec

Ends = list[Done | Failed]


@dataclass(frozen=True)
class Comparison:
    """A study with its data, where its results go, and what it rested on before its data were read."""

    spec: Spec
    sets: Sets
    folder: Path
    cache: Cache
    seen: Seen | None = None

    def run(self, executor: Executor | None, notify: Notify) -> Outcome:
        """Plan, and do every job that has no rows."""
        planned = plan(self.spec, self.sets)
        write.begin(self.folder, planned.keys, self.spec.model_dump_json(indent=2))
        done = write.done(self.folder) & planned.keys
        tasks = planned.remaining(done)
        executor = executor or executor_of(self.spec.resources)
        study = Study(self.spec, self.sets, self.folder, self.cache)
        ahead = extract_ahead(study, tasks, executor, notify)
        ends = list(executor.run(study, tasks, notify))
        spent = (*ahead, *(end.result for end in ends if isinstance(end, Done)))
        missing = (*self.sets.missing, *planned.missing)
        outcome = Outcome(self.folder, planned.keys, len(done), spent, tuple(_failures(tasks, ends)), missing)
        if self.seen:
            self.seen.keep(outcome, self.spec, _unmeasured(tasks, ends))
        return outcome


def _failures(tasks: Sequence[Task], ends: Ends) -> Iterator[Failure]:
    """Models first, then detectors."""
    for end in ends:
        if isinstance(end, Failed):
            yield Failure(tasks[end.index].recipe.name, end.reason, end.by_user)
    for end in ends:
        if isinstance(end, Done):
            yield from (Failure(end.result.task, why, True, detector) for detector, why in end.result.failed)


def _unmeasured(tasks: Sequence[Task], ends: Ends) -> frozenset[str]:
    """Keys of the jobs that were left out, since their detector does not apply to the model."""
    done = [(tasks[end.index], end.result) for end in ends if isinstance(end, Done)]
    return frozenset(job.key for task, result in done for job in task.jobs if job.title in result.left_out)
