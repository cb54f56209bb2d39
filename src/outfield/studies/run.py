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
    """A model, or one detector on it, that could not be measured, and why."""

    model: str
    reason: str
    by_user: bool
    detector: str | None = None

    def __str__(self) -> str:
        return f"{self.model}{f', {self.detector}' if self.detector else ''}: {self.reason}"


@dataclass(frozen=True)
class Outcome:
    """What a run of a study did."""

    folder: Path
    plan: Plan
    skipped: int
    spent: tuple[Spent, ...]
    failures: tuple[Failure, ...]
    missing: tuple[str, ...] = ()
    """Sets and models whose files are not there: the study went without them."""

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
        """Itself; ``OutfieldError`` where a model, or a detector on it, failed."""
        if self.failures:
            reasons = "\n".join(f"  {failure}" for failure in self.failures)
            kind = UserError if all(failure.by_user for failure in self.failures) else OutfieldError
            raise kind(f"{len(self.failures)} of the study's parts failed; the others are done.\n{reasons}")
        return self


def run(
    spec: Spec | Path | str,
    folder: Path | str | None = None,
    *,
    sets: Sets | None = None,
    executor: Executor | None = None,
    cache: Cache | None = None,
    notify: Notify = lambda _: None,
) -> Outcome:
    """Run a study; run it again and it goes on where it was.

    Data sets and weights that are not there are left out and told in ``missing`` of the outcome.

    Parameters
    ----------
    spec : Spec, or the path of its YAML file
    folder : path, optional
        Where rows, scores and trained weights go, created when absent; by default ``results/NAME``.
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
        Data that cannot be used; or no ID data, no OOD set or no model is there.
    UserError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> digits = {"name": "digits", "side": 8, "classes": [0, 1]}
    >>> spec = Spec.parse({
    ...     "name": "example", "epochs": 1, "network": {"name": "small_cnn", "width": 2},
    ...     "id": {split: digits | {"part": split.replace("train", "fit")} for split in ("train", "val", "test")},
    ...     "ood": [{"name": "eights", "category": "near", "source": digits | {"classes": [8]}}],
    ...     "models": [{"strategy": "baseline", "seeds": [0]}], "detectors": ["msp"], "resources": {"processes": 1},
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run(spec, folder, cache=Cache(Path(folder) / "cache")).jobs
    2
    """
    spec = spec if isinstance(spec, Spec) else Spec.load(spec)
    folder = Path(folder or Path("results") / spec.name)
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
    models = [Failure(tasks[end.index].recipe.name, end.reason, end.by_user) for end in ends if isinstance(end, Failed)]
    detectors = [Failure(one.task, why, True, detector) for one in spent for detector, why in one.failed]
    return Outcome(folder, planned, len(done), spent, (*models, *detectors), (*sets.missing, *planned.missing))
