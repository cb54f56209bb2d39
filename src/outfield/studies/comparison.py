"""The whole comparison of a study with the rows that are there, and what is not done yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from outfield.features.cache import Cache
from outfield.places import is_there, listed
from outfield.store import write
from outfield.studies.completion_record import Seen
from outfield.studies.executors.base import Done, Executor, Failed, Notify
from outfield.studies.executors.base import of as executor_of
from outfield.studies.job import ModelJobs
from outfield.studies.outcome import Failure, Outcome
from outfield.studies.plan import plan
from outfield.studies.sets import Sets
from outfield.studies.sharding import extract_ahead
from outfield.studies.spec import Spec
from outfield.studies.work import Study

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
        scored = {one.name: one.data.digest() for one in (self.sets.test, *self.sets.ood)}
        write.begin(self.folder, planned.keys, self.spec.model_dump_json(indent=2), scored)
        done = write.done(self.folder) & planned.keys
        tasks = planned.remaining(done)
        executor = executor or executor_of(self.spec.resources)
        study = Study(self.spec, self.sets, self.folder, self.cache)
        ahead = extract_ahead(study, tasks, executor, notify)
        ends = self._checked(tasks, list(executor.run(study, tasks, notify)))
        spent = (*ahead, *(end.result for end in ends if isinstance(end, Done)))
        missing = (*self.sets.missing, *planned.missing)
        outcome = Outcome(self.folder, planned.keys, len(done), spent, tuple(_failures(tasks, ends)), missing)
        write.leave_out(self.folder, unmeasured := _unmeasured(tasks, ends))
        if self.seen:
            self.seen.keep(outcome, self.spec, unmeasured)
        return outcome

    def _checked(self, tasks: Sequence[ModelJobs], ends: Ends) -> Ends:
        """The ends of tasks; one whose rows are not in the study's folder has failed, whatever its worker said."""
        place = self.folder / write.ROWS
        there = {path.stem for path in listed(place, "*.parquet")}

        def lost(end: Done) -> list[str]:
            excused = {*end.result.left_out, *(detector for detector, _ in end.result.failed)}
            keys = {job.key for job in tasks[end.index].jobs if job.title not in excused} - there
            return [key for key in keys if not is_there(place / f"{key}.parquet")]

        return [_lost(end, len(keys), place) if isinstance(end, Done) and (keys := lost(end)) else end for end in ends]


def _lost(end: Done, jobs: int, place: Path) -> Failed:
    reason = (
        f"Expected the rows of its jobs in {place}, but those of {jobs} are not there though its worker wrote them. "
        "Name a results folder that every machine reaches by the same path, or an address such as s3://bucket/study."
    )
    return Failed(end.index, reason, by_user=True)


def _failures(tasks: Sequence[ModelJobs], ends: Ends) -> Iterator[Failure]:
    """Models first, then detectors."""
    for end in ends:
        if isinstance(end, Failed):
            yield Failure(tasks[end.index].recipe.name, end.reason, end.by_user)
    for end in ends:
        if isinstance(end, Done):
            yield from (Failure(end.result.task, why, True, detector) for detector, why in end.result.failed)


def _unmeasured(tasks: Sequence[ModelJobs], ends: Ends) -> frozenset[str]:
    """Keys of the jobs that were left out, since their detector does not apply to the model."""
    done = [(tasks[end.index], end.result) for end in ends if isinstance(end, Done)]
    return frozenset(job.key for task, result in done for job in task.jobs if job.title in result.left_out)
