"""What a run of any framework writes while it is followed: rows, and whether each item was right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl

from outfield import keys, registry
from outfield.data.member import Counted, Member, Role
from outfield.errors import UserError, reading
from outfield.metrics._intervals import mean_recall, wilson
from outfield.store import write
from outfield.store.subject import Subject
from outfield.studies.bench import Measured
from outfield.trajectory.rows import ITEMS, SKIPPED, merits_of
from outfield.types import Estimate

Loaded = TypeVar("Loaded")


class SkippedCheckpointWarning(UserWarning):
    """A checkpoint could not be loaded; the others are measured."""


@dataclass(frozen=True)
class Run:
    """Who is followed.

    Parameters
    ----------
    study : str
    model : str
        What runs of different seeds have in common: a strategy, a language model.
    seed : int
    id : str
        What the reports call the ID data.
    family : str
    key : str
        Content key of all that decides the run's weights; another key means another run.
    """

    study: str
    model: str
    seed: int = 0
    id: str = "ID"
    family: str = "other"
    key: str = ""
    task: str = "classify"

    @property
    def name(self) -> str:
        """Model and seed."""
        return f"{self.model}-{self.seed}"

    def at(self, step: int) -> Subject:
        """What rows say of it at a step."""
        return Subject(self.study, self.name, self.model, self.family, self.seed, self.id, self.task, int(step))


def EvalSet(  # noqa: N802  # the name under which users know it
    name: str,
    n: int,
    kind: Literal["id", "shift", "ood"] = "shift",
    *,
    category: str | None = None,
    shift: str | None = None,
    severity: int | None = None,
    digest: str | None = None,
) -> Member:
    """A test set of n items that somebody else holds.

    ``kind`` is ``id``, ``shift`` (the same labels elsewhere: performance) or ``ood`` (new classes: detection).

    Examples
    --------
    >>> EvalSet("noisy", 40).label
    "shift set 'noisy'"
    """
    role: Role = "test" if kind == "id" else kind
    return Member(name, role, Counted(n, digest or ""), category, shift, severity)


def _content(one: Member) -> dict[str, Any]:
    """What a set is, as keys state it."""
    return {
        "name": one.name, "n": len(one), "kind": one.kind, "category": one.category, "shift": one.shift,
        "severity": one.severity, "digest": one.data.digest() or None,
    }  # fmt: skip


class Tracker:
    """Writes the measures of one run, a file a checkpoint.

    A checkpoint is written when every set of kind ``id`` or ``shift`` has been logged, whole or not at all; what is
    written already is left alone, so that a run that was killed and goes on gives the same rows. Inside
    ``with tracker.checkpoint(step)`` it is written at the end of the block, for measures beside accuracy.

    Parameters
    ----------
    run : Run
    sets : iterable of Member
        One of them of role ``test``; of sets that somebody else holds, ``EvalSet`` gives the size alone.
    folder : path
        The study's folder.

    Raises
    ------
    UserError
        No ID set, or a name used twice; the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import query
    >>> folder = Path(tempfile.mkdtemp())
    >>> tracker = Tracker(Run("demo", "net"), [EvalSet("test", 4, "id"), EvalSet("noisy", 4)], folder)
    >>> tracker.log(10, set="test", correct=[1, 1, 1, 0])
    >>> tracker.log(10, set="noisy", correct=2, n=4)
    >>> query.rows(folder).select("run", "step", "ood", "metric", "value").rows()
    [('net-0', 10, None, 'accuracy', 0.75), ('net-0', 10, 'noisy', 'accuracy', 0.5)]
    >>> tracker.done(10), tracker.items(10)["merit"].to_list()
    (True, [1.0, 1.0, 1.0, 0.0])
    """

    def __init__(self, run: Run, sets: Iterable[Member], folder: Path | str) -> None:
        self.run, self.folder = run, Path(folder)
        listed = list(sets)
        self.sets = {one.name: one for one in listed}
        if len(self.sets) < len(listed) or sum(one.kind == "id" for one in listed) != 1:
            raise UserError(
                f"Expected sets of different names, one of them of kind 'id', but got "
                f"{[(one.name, one.kind) for one in listed]}. Give each its own name, and one the kind 'id'."
            )
        self._rows: dict[int, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._whole: dict[int, bool] = {}

    @property
    def n_id(self) -> int:
        """Number of ID items."""
        return next(len(one) for one in self.sets.values() if one.kind == "id")

    def key(self, step: int) -> str:
        """Name of the file of a step."""
        return keys.key(run=self._run, sets=self._contents, step=int(step))

    @cached_property
    def _run(self) -> dict[str, Any]:
        return asdict(self.run)

    @cached_property
    def _contents(self) -> list[dict[str, Any]]:
        return list(map(_content, self.sets.values()))

    def done(self, step: int) -> bool:
        """Whether a step is written, and readable."""
        if not self._whole.get(step):
            rows, items = (self.folder / kind / f"{self.key(step)}.parquet" for kind in (write.ROWS, ITEMS))
            sound = rows.exists() and write.whole(rows)
            self._whole[step] = sound and (not items.exists() or write.whole(items, ITEMS))
        return self._whole[step]

    def log(self, step: int, *, set: str, correct: Any, n: int | None = None, labels: Any = None) -> None:
        """Accuracy on a set at a step.

        Parameters
        ----------
        step : int
        set : str
        correct : vector of bool [n], or a number of right items
            Of a vector each item is kept; of a number, with ``n``, the accuracy alone.
        n : int, optional
            Number of items; needed where ``correct`` is a number.
        labels : vector [n], optional
            Adds balanced accuracy (mean over labels of the share right).

        Raises
        ------
        UserError
            An unknown set, or another number of items or labels than the set has.
        """
        one = self._set(set)
        right = np.asarray(correct)
        count = (n if right.ndim == 0 else len(right)) or 0
        if count != len(one) or (n is not None and n != count):
            raise UserError(
                f"Expected {len(one)} items of {set!r}, but got {count}. Pass whether each was right, or a number and "
                "n."
            )
        share = float(right) / count if right.ndim == 0 else float(right.astype(bool).mean())
        if not 0 <= share <= 1:
            raise UserError(f"Expected 0 to {count} right items of {set!r}, but got {right}. Count right ones.")
        if labels is not None and right.ndim:
            self._put(step, one, "balanced_accuracy", balanced(right.astype(bool), np.asarray(labels)))
        if right.ndim:
            self._items.setdefault(step, {})[set] = right.astype(np.float32)
        self._put(step, one, "accuracy", Estimate(share, *wilson(share, count), count))
        if step not in self._open and self._complete(step):
            self._write(step)

    def measure(
        self, step: int, metric: str, value: Estimate | float, *, set: str, detector: str | None = None, **columns: Any
    ) -> None:
        """Any other measure at a step: an AUROC of a detector, a count; other columns of the row by name."""
        one = self._set(set)
        found = value if isinstance(value, Estimate) else Estimate(float(value), n=len(one))
        self._put(step, one, metric, found, detector=detector, **columns)

    def add(self, step: int, found: Measured) -> None:
        """What a job gave at a step; a detector that could not be fitted has a row of metric ``skipped`` with why.

        Raises
        ------
        UserError
            The model's own measures could not be taken.
        """
        if found.failure and found.job.detector is None:
            raise UserError(found.failure)
        if found.failure:
            known = next(one for one in self.sets.values() if one.kind == "id")
            why = {"reason": found.failure}
            self._put(step, known, SKIPPED, Estimate(float("nan")), detector=found.job.title, params=why)
        for row in found.rows:
            self._rows.setdefault(step, {})[_place(row)] = row
        if found.job.detector is None:
            parts = found.items.partition_by("set", as_dict=True, maintain_order=True)
            self._items.setdefault(step, {}).update({str(name): part["score"] for (name,), part in parts.items()})

    def skip(self, step: int, why: str) -> None:
        """Say in a row that a checkpoint could not be measured, and why."""
        one = next(each for each in self.sets.values() if each.kind == "id")
        self._rows.pop(step, None)
        self._items.pop(step, None)
        self._put(step, one, SKIPPED, Estimate(float("nan")), params={"reason": why})
        self._write(step)

    @contextmanager
    def checkpoint(self, step: int) -> Iterator[Tracker]:
        """All measures of a step: written together when the block ends, not at all when it fails.

        Raises
        ------
        UserError
            At the end of the block a set of kind ``id`` or ``shift`` has no accuracy.
        """
        self._open.add(step)
        try:
            yield self
            self._check_complete(step)
        except BaseException:
            self._rows.pop(step, None)
            self._items.pop(step, None)
            raise
        finally:
            self._open.discard(step)
        self._write(step)

    def items(self, step: int) -> pl.DataFrame:
        """How good the answer to each item was at a step that is written: columns set, row, merit (1 right, 0 wrong).

        Raises
        ------
        UserError
            The file is not as it was written.
        """
        path = self.folder / ITEMS / f"{self.key(step)}.parquet"
        with reading(path, "the items of a checkpoint", "Track the study again."):
            for why in write.sift([path], [path], ITEMS).values():
                raise ValueError(f"it {why}")
            return merits_of(pl.read_parquet(path, glob=False))

    def _set(self, name: str) -> Member:
        if name not in self.sets:
            raise UserError(f"Expected one of the sets {', '.join(self.sets)}, but got {name!r}. Name it to Tracker.")
        return self.sets[name]

    def _put(self, step: int, one: Member, metric: str, found: Estimate, **columns: Any) -> None:
        sizes = {} if one.kind == "id" else {"n_ood": len(one)}
        about = {"n_id": self.n_id, "data_digest": one.data.digest() or None, **sizes}
        row = self.run.at(step).row(one, metric, found, **{**about, **columns})
        self._rows.setdefault(step, {})[_place(row)] = row

    @property
    def performance(self) -> str:
        """The metric that every set of kind ``id`` or ``shift`` has at every step."""
        return str(registry.find("tasks", self.run.task).measures[0])

    def _expected(self) -> set[str]:
        return {one.name for one in self.sets.values() if one.kind != "ood"}

    def _logged(self, step: int) -> set[str]:
        """Sets with their performance; a row says nothing of the name of the ID set."""
        known = next(one.name for one in self.sets.values() if one.kind == "id")
        rows = (row for row in self._rows.get(step, {}).values() if row.get("detector") is None)
        return {row["ood"] or known for row in rows if row["metric"] == self.performance and row["role"] == "test"}

    def _complete(self, step: int) -> bool:
        return self._expected() <= self._logged(step)

    def _check_complete(self, step: int) -> None:
        if missing := sorted(self._expected() - self._logged(step)):
            raise UserError(
                f"Expected the {self.performance} of every set at step {step}, but got none of {', '.join(missing)}. "
                "Log each set of kind 'id' or 'shift', or let `measure` return it."
            )

    def _write(self, step: int) -> None:
        """Items first, so that rows that exist have theirs."""
        rows, items = self._rows.pop(step), self._items.pop(step, {})
        if self.done(step):
            return
        if items:
            tables = [
                pl.DataFrame({"set": name, "row": np.arange(len(merits)), "merit": merits})
                for name, merits in items.items()
            ]
            write.parquet(pl.concat(tables), self.folder / ITEMS / f"{self.key(step)}.parquet", ITEMS)
        write.rows(self.folder, self.key(step), list(rows.values()))
        self._whole[step] = True


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is about: of two that are about the same, the later counts."""
    names = ("ood", "set_kind", "metric", "detector", "role", "part", "group")
    return (*(row.get(name) for name in names), keys.canonical(row.get("params")))


def balanced(correct: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Estimate:
    """Mean over labels of the share of right items; the interval joins the labels' Wilson intervals (MOVER).

    Raises
    ------
    UserError
        Not one label for each item.

    Examples
    --------
    >>> print(balanced(np.array([True, True, True, False]), np.array([1, 1, 1, 0])))
    0.500 [0.219, 0.897] (n = 4)
    """
    if labels.shape != correct.shape:
        raise UserError(
            f"Expected {len(correct)} labels, one for each item, but got {list(labels.shape)}. "
            "Pass the labels of the same items."
        )
    return mean_recall(correct, labels)


def over_checkpoints(
    tracker: Tracker,
    checkpoints: Mapping[int, Path],
    load: Callable[[Path], Loaded],
    measure: Callable[[Loaded], Mapping[str, Any]],
) -> tuple[int, ...]:
    """Measure checkpoints that a finished run has left; the steps that could not be loaded are returned.

    ``measure`` gives for each set whether its items were right. A checkpoint that does not load is named in a
    ``SkippedCheckpointWarning`` and has a row of metric ``skipped`` with the reason.

    Raises
    ------
    UserError
        ``measure`` leaves out a set of kind ``id`` or ``shift``.
    """
    skipped = []
    for step, path in sorted(checkpoints.items()):
        if tracker.done(step):
            continue
        try:
            loaded = load(path)
        except (UserError, OSError, RuntimeError, ValueError, EOFError) as error:
            why = f"{path.name} does not load: {error}"
            warnings.warn(
                f"Step {step} of {tracker.run.name} is left out: {why}", SkippedCheckpointWarning, stacklevel=2
            )
            tracker.skip(step, why)
            skipped.append(step)
            continue
        with tracker.checkpoint(step):
            for name, correct in measure(loaded).items():
                tracker.log(step, set=name, correct=correct)
    return tuple(skipped)
