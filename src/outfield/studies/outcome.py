"""What a run of a study came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outfield.errors import OutfieldError, UserError


@dataclass(frozen=True)
class Spent:
    """What the jobs of a model (``task``) cost and gave: forward passes of one input, those done, those not, and why.

    ``warnings`` are texts, each with the detectors that warned.

    Examples
    --------
    >>> done = Spent("net-0", jobs=2, forwards=300, left_out=("gram",), failed=(), warnings=(("Few rows.", ("knn",)),))
    >>> from outfield.studies.outcome import Outcome
    >>> Outcome(Path("results"), frozenset(), 0, (done,)).warnings
    ('knn (1 model): Few rows.',)
    """

    task: str
    jobs: int
    forwards: int
    left_out: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Failure:
    """A model, or one detector on it, that could not be measured, and why.

    Examples
    --------
    >>> print(Failure("net-0", "It predicts one class alone.", by_user=True, detector="mds"))
    net-0, mds: It predicts one class alone.
    """

    model: str
    reason: str
    by_user: bool
    detector: str | None = None

    def __str__(self) -> str:
        return f"{self.model}{f', {self.detector}' if self.detector else ''}: {self.reason}"


@dataclass(frozen=True)
class Outcome:
    """What a run of a study did.

    Examples
    --------
    >>> spent = Spent("net-0", jobs=2, forwards=300, left_out=("gram",), failed=())
    >>> outcome = Outcome(Path("results"), frozenset({"a1", "b2", "c3"}), skipped=1, spent=(spent,))
    >>> outcome.jobs, outcome.forwards, outcome.left_out
    (2, 300, {'net-0': ('gram',)})
    >>> Outcome(Path("results"), frozenset(), 0, failures=(Failure("net-0", "Its file is gone.", True),)).check()
    Traceback (most recent call last):
    outfield.errors.UserError: 1 of the study's parts failed; the others are done...
    """

    folder: Path
    keys: frozenset[str]
    """Of every job of the study: the names of the files that make it."""
    skipped: int
    """Jobs that were done before."""
    spent: tuple[Spent, ...] = ()
    failures: tuple[Failure, ...] = ()
    missing: tuple[str, ...] = ()
    """Sets and models whose files are not there: the study went without them."""

    @property
    def forwards(self) -> int:
        """Forward passes of one input through a model in this run; those of training are not among them."""
        return sum(one.forwards for one in self.spent)

    @property
    def jobs(self) -> int:
        """Jobs done in this run."""
        return sum(one.jobs for one in self.spent)

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Detectors that do not apply, for each model that has such."""
        return {one.task: one.left_out for one in self.spent if one.left_out}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What detectors warned of in this run, each warning once."""
        heard: dict[str, tuple[set[str], set[str]]] = {}
        for one in self.spent:
            for text, titles in one.warnings:
                detectors, models = heard.setdefault(text, (set(), set()))
                detectors.update(titles)
                models.add(one.task)
        return tuple(
            f"{', '.join(sorted(detectors))} ({len(models)} model{'s' if len(models) > 1 else ''}): {text}"
            for text, (detectors, models) in heard.items()
        )

    @property
    def summary(self) -> str:
        """What a run that found nothing to do has to say."""
        left_out = [f"{model}: {', '.join(names)} left out, as before." for model, names in self.left_out.items()]
        absent = [f"{len(self.missing)} sets or models are missing, and are not in the results:"]
        return "\n".join(
            [
                f"Nothing to do: {self.skipped:,} of {len(self.keys):,} jobs are done, and nothing that they rest on "
                f"was touched since. {self.forwards:,} forward passes. Results: {self.folder}",
                *(absent if self.missing else []),
                *(f"  {line}" for line in self.missing),
                *left_out,
            ]
        )

    def check(self) -> Outcome:
        """Itself; ``OutfieldError`` where a model, or a detector on it, failed."""
        if self.failures:
            reasons = "\n".join(f"  {failure}" for failure in self.failures)
            kind = UserError if all(failure.by_user for failure in self.failures) else OutfieldError
            raise kind(f"{len(self.failures)} of the study's parts failed; the others are done.\n{reasons}")
        return self
