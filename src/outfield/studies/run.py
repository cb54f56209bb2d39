"""A study from beginning to end: load, plan, run what is not done yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outfield.errors import OutfieldError, UserError
from outfield.features.cache import Cache, default_folder
from outfield.registry import create
from outfield.store import write
from outfield.studies.executors.base import Done, Executor, Failed, Notify
from outfield.studies.job import Spent, Study
from outfield.studies.plan import Plan, plan
from outfield.studies.sets import Sets, load
from outfield.studies.spec import Spec


@dataclass(frozen=True)
class Failure:
    """A model whose jobs could not all be done, and why."""

    model: str
    reason: str
    by_user: bool


@dataclass(frozen=True)
class Outcome:
    """What a run of a study did."""

    folder: Path
    plan: Plan
    skipped: int
    spent: tuple[Spent, ...]
    failures: tuple[Failure, ...]

    @property
    def forwards(self) -> int:
        """Inputs that went through a model in this run."""
        return sum(one.forwards for one in self.spent)

    @property
    def jobs(self) -> int:
        """Jobs done in this run."""
        return sum(one.jobs for one in self.spent)

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Detectors that do not apply, for each model that has such."""
        return {one.task: one.left_out for one in self.spent if one.left_out}

    def check(self) -> Outcome:
        """Itself; ``OutfieldError`` where a model failed."""
        if self.failures:
            reasons = "\n".join(f"  {failure.model}: {failure.reason}" for failure in self.failures)
            kind = UserError if all(failure.by_user for failure in self.failures) else OutfieldError
            raise kind(f"{len(self.failures)} of {len(self.plan.tasks)} models failed; the others are done.\n{reasons}")
        return self


def run(
    spec: Spec,
    folder: Path | str,
    *,
    sets: Sets | None = None,
    executor: Executor | None = None,
    cache: Cache | None = None,
    notify: Notify = lambda _: None,
) -> Outcome:
    """Run a study; run it again and it goes on where it was.

    Parameters
    ----------
    spec : Spec
    folder : path
        Where rows, scores and trained weights go; created when absent.
    sets : Sets, optional
        The study's data, where it is loaded already.
    executor : Executor, optional
        By default ``Local`` with the study's resources.
    cache : Cache, optional
        By default the user's.
    notify : callable, optional
        Told of progress as ``Event``.

    Raises
    ------
    Problems
        Data that cannot be used.
    UserError
        The folder cannot be written.

    Examples
    --------
    >>> from outfield.studies.spec import shipped
    >>> spec = Spec.load(shipped("digits"))
    >>> run(spec, "results/digits").check()  # doctest: +SKIP
    """
    folder = Path(folder)
    sets = sets or load(spec)
    planned = plan(spec, sets)
    write.begin(folder, planned.keys, spec.model_dump_json(indent=2))
    done = write.done(folder) & planned.keys
    tasks = planned.remaining(done)
    study = Study(spec, sets, folder, cache or Cache(default_folder()))
    executor = executor or create(
        "executors", "local", processes=spec.resources.processes, threads=spec.resources.threads
    )
    ends = list(executor.run(study, tasks, notify))
    spent = tuple(end.result for end in ends if isinstance(end, Done))
    failures = tuple(
        Failure(tasks[end.index].recipe.name, end.reason, end.by_user) for end in ends if isinstance(end, Failed)
    )
    return Outcome(folder, planned, len(done), spent, failures)
