"""Rows of inputs: an array, a list, and views of other data sets (subset, relabelled, shifted, concatenated).

A view computes what it shows when it is read; nothing is copied before. ``in_memory`` keeps what a view shows.
"""

from __future__ import annotations

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield import keys
from outfield.data import labels as labelling
from outfield.data.base import Dataset, Items, Shift
from outfield.errors import UserError, listed

CHUNK = 512
"""Rows that are read at a time where a whole data set is walked through."""

_LARGEST = np.iinfo(np.int64).max
_LARGEST_FLOAT = float(np.finfo(np.float32).max)
Labels: TypeAlias = "NDArray[np.int64] | None"
Names: TypeAlias = "tuple[str, ...] | None"


class Fault(str):
    """Why an item cannot be read, in its place."""


@dataclass(frozen=True)
class Look:
    """What is to be told of an item without keeping it.

    Attributes
    ----------
    shape : tuple of int
        () for texts.
    key : str
        Its content key.
    fault : str
        Why it cannot be read; then there is nothing else.
    notes : tuple of str
        What a user may not expect of it.
    """

    shape: tuple[int, ...] = ()
    key: str = ""
    fault: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def at(cls, item: Any, notes: tuple[str, ...] = ()) -> Look:
        """Of one item, or of the ``Fault`` in its place."""
        if isinstance(item, Fault):
            return cls(fault=item)
        return cls(np.shape(item) if isinstance(item, np.ndarray) else (), item_key(item), notes=notes)


class Rows(ABC):
    """What all data sets of outfield share: checked labels, targets and groups, part names, content keys.

    Attributes
    ----------
    labels : int64 array [n], or None
    classes : names of the classes, or None
    parts : array of str [n], or None
        The part of a pooled set that a row belongs to.
    targets : float64 or float32 array [n] or [n, k], or None
        The numbers that are to be predicted, where that is no class.
    groups : int64 array [n], or None
        The group (domain, hospital, attribute) that a row belongs to.
    group_names : names of the groups 0, 1, ..., or None
    left_out : tuple of str
        What a reader or a shift could have given and did not, each with its reason.
    beside : tuple of str
        What lay beside the data and was never meant by them: hidden files, other files.

    Raises
    ------
    UserError
        No rows; labels, parts, targets or groups of another length; a target that is no finite number; a group without
        a name where the others have one.
    """

    beside: tuple[str, ...] = ()

    def __init__(
        self,
        count: int,
        labels: ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        parts: ArrayLike | None = None,
        left_out: Iterable[str] = (),
        *,
        targets: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        group_names: Sequence[str] | None = None,
    ) -> None:
        if not count:
            raise UserError(
                "Expected a data set with at least one row, but got none. Point it to data that holds rows."
            )
        self._count = count
        self.labels: Labels = _checked_labels(labels, count)
        self.classes: Names = None if classes is None else tuple(map(str, classes))
        self.parts: NDArray[np.str_] | None = None if parts is None else np.asarray(parts, dtype=np.str_)
        self.left_out = tuple(left_out)
        self.targets = None if targets is None else _checked_targets(targets, count)
        self.group_names: Names = None if group_names is None else tuple(map(str, group_names))
        self.groups: Labels = None if groups is None else _checked_groups(groups, count, self.group_names)
        if self.parts is not None and len(self.parts) != count:
            raise UserError(
                f"Expected a part name for each of {count} rows, but got {len(self.parts)}. Pass one a row."
            )

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows, {len(self.classes or ())} classes)"

    @abstractmethod
    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        """The items of ``rows``, in that order."""

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        """A content key for each row [n]: equal for equal items, labels and targets aside."""
        return np.array([item_key(item) for batch in _batches(self) for item in batch])

    def recall_row_keys(self, known: NDArray[np.str_]) -> None:
        """Take the ``row_keys`` that were computed before, for the same items in the same order: no row is read.

        Raises
        ------
        UserError
            They are not one a row.

        Examples
        --------
        >>> data = ArrayDataset(np.eye(2, dtype=np.float32))
        >>> data.recall_row_keys(np.array(["a", "b"]))
        >>> data.row_keys.tolist()
        ['a', 'b']
        """
        if np.shape(known) != (len(self),):
            raise UserError(
                f"Expected a key for each of {len(self)} rows, but got {np.shape(known)}. Compute them for these data."
            )
        self.row_keys = known

    @cached_property
    def _digest(self) -> str:
        labels = None if self.labels is None else keys.of_array(self.labels)
        targets = {} if self.targets is None else {"targets": keys.of_array(self.targets)}
        return keys.key(items=keys.of_array(self.row_keys), labels=labels, **targets)

    def digest(self) -> str:
        """Content key of all items, labels and targets, in order."""
        return self._digest

    def tried(self, rows: slice | NDArray[np.int64]) -> list[Any]:
        """The items of ``rows``, with a ``Fault`` in the place of those that cannot be read."""
        return list(self.read(rows))

    def looks(self, rows: slice | NDArray[np.int64]) -> list[Look]:
        """A look at each of ``rows``; fewer items are in memory at a time than with ``tried``."""
        return [Look.at(item) for item in self.tried(rows)]

    def name_of(self, row: int) -> str:
        """What messages call a row: its file where it has one, else its number."""
        return f"row {row}"

    def _where(self, rows: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        return np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)


class ArrayDataset(Rows):
    """Rows that are one array, in memory or memory-mapped.

    Parameters
    ----------
    items : array [n, H, W, C] or [n, H, W], uint8 or float in [0, 1]; or [n, D], numbers
    labels : array of integers [n], optional
    classes, parts, left_out, targets, groups, group_names : see ``Rows``
    missing : bool
        Whether NaN may stand for a missing number in rows [n, D]; what reads them then says whether it can.

    Raises
    ------
    UserError
        NaN or infinite values, pictures out of [0, 1], another shape, labels of another length.

    Examples
    --------
    >>> data = ArrayDataset(np.zeros((3, 4, 4), np.uint8), labels=[0, 1, 1], classes=["cat", "dog"])
    >>> data.read(slice(0, 2)).shape
    (2, 4, 4, 1)
    """

    def __init__(
        self,
        items: NDArray[Any],
        labels: ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        parts: ArrayLike | None = None,
        left_out: Iterable[str] = (),
        *,
        missing: bool = False,
        **more: Any,
    ) -> None:
        _check_shape(items)
        super().__init__(len(items), labels, classes, parts, left_out, **more)
        self.items = items[..., None] if items.ndim == 3 else items
        if self.items.dtype != np.uint8:
            _check_values(self.items, missing=missing and self.items.ndim == 2)

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        items = np.asarray(self.items[rows])
        return items if items.dtype == np.uint8 and items.ndim == 4 else items.astype(np.float32)


class ListDataset(Rows):
    """Rows that are a list: texts, pairs of texts, or pictures of several sizes.

    Examples
    --------
    >>> ListDataset(["a film", "a play"], labels=[1, 0]).read(np.array([1]))
    ['a play']
    """

    def __init__(
        self,
        items: Sequence[Any],
        labels: ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        parts: ArrayLike | None = None,
        left_out: Iterable[str] = (),
        **more: Any,
    ) -> None:
        super().__init__(len(items), labels, classes, parts, left_out, **more)
        self.items = items

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        return [self.items[row] for row in self._where(rows)]


class _View(Rows):
    """Some rows of another data set."""

    def __init__(self, of: Dataset, rows: NDArray[np.int64], labels: Labels, classes: Names) -> None:
        super().__init__(len(rows), **about(of, rows) | {"labels": labels, "classes": classes})
        self.of, self.rows = of, rows
        self.beside = beside_of(of)

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        return self.of.read(self.rows[rows])

    def tried(self, rows: slice | NDArray[np.int64]) -> list[Any]:
        return tried(self.of, self.rows[rows])

    def looks(self, rows: slice | NDArray[np.int64]) -> list[Look]:
        return looks(self.of, self.rows[rows])

    def name_of(self, row: int) -> str:
        return name_of(self.of, int(self.rows[row]))

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        return row_keys(self.of)[self.rows]


class _Shifted(Rows):
    """A data set under a covariate shift: the same labels, another look."""

    def __init__(self, of: Dataset, shift: Shift, severity: int, seed: int) -> None:
        super().__init__(len(of), **about(of))
        self.of, self.shift, self.severity, self.seed = of, shift, severity, seed

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        where = self._where(rows)
        return stack([self._one(picture, row) for picture, row in zip(self.of.read(where), where, strict=True)])

    def name_of(self, row: int) -> str:
        return name_of(self.of, row)

    def _one(self, picture: NDArray[Any], row: int) -> NDArray[np.uint8]:
        rng = row_rng(type(self.shift).__name__, self.seed, row)
        return eight_bit(self.shift.apply(as_float(picture), self.severity, rng))

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        step = keys.key(
            shift=self.shift, severity=self.severity, seed=self.seed, code=keys.of_code(type(self.shift), _Shifted)
        )
        return np.array([item_key((str(key), step, str(row))) for row, key in enumerate(row_keys(self.of))])


class _Concatenated(Rows):
    """Several data sets after one another."""

    def __init__(self, named: Mapping[str, Dataset]) -> None:
        self.of = tuple(named.values())
        self.ends = np.cumsum([len(dataset) for dataset in self.of])
        labels, classes = _pooled([(one.labels, one.classes) for one in self.of])
        groups, group_names = _pooled([(groups_of(one), group_names_of(one)) for one in self.of])
        super().__init__(
            int(self.ends[-1]) if named else 0,
            labels,
            classes,
            np.repeat(list(named), [len(dataset) for dataset in self.of]),
            [text for dataset in self.of for text in left_out_of(dataset)],
            targets=_pooled_targets(named),
            groups=groups,
            group_names=group_names,
        )
        self.beside = tuple(text for dataset in self.of for text in beside_of(dataset))

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        return stack(self._gathered(rows, lambda dataset, inside: dataset.read(inside)))

    def looks(self, rows: slice | NDArray[np.int64]) -> list[Look]:
        return self._gathered(rows, looks)

    def _gathered(
        self, rows: slice | NDArray[np.int64], read: Callable[[Dataset, NDArray[np.int64]], Iterable[Any]]
    ) -> list[Any]:
        """What ``read`` gives for the rows of each data set, in the order of ``rows``."""
        where = self._where(rows)
        items: list[Any] = [None] * len(where)
        owners = np.searchsorted(self.ends, where, side="right")
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            start = self.ends[owner] - len(self.of[owner])
            for place, item in zip(places, read(self.of[owner], where[places] - start), strict=True):
                items[place] = item
        return items

    def name_of(self, row: int) -> str:
        owner = int(np.searchsorted(self.ends, row, side="right"))
        return name_of(self.of[owner], row - int(self.ends[owner]) + len(self.of[owner]))

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        return np.concatenate([row_keys(dataset) for dataset in self.of])


def subset(dataset: Dataset, rows: ArrayLike) -> Rows:
    """The given rows (numbers or a mask), in that order.

    Examples
    --------
    >>> subset(ArrayDataset(np.eye(3), labels=[4, 5, 6]), [2, 0]).labels
    array([6, 4])
    """
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
    return _View(dataset, rows, None if dataset.labels is None else dataset.labels[rows], dataset.classes)


def relabelled(dataset: Dataset, labels: ArrayLike | None, classes: Sequence[str] | None = None) -> Rows:
    """The same items with other labels, or with none.

    Examples
    --------
    >>> relabelled(ArrayDataset(np.eye(2), labels=[4, 5]), [0, 1]).labels
    array([0, 1])
    """
    rows = np.arange(len(dataset))
    return _View(
        dataset, rows, _checked_labels(labels, len(dataset)), None if classes is None else tuple(map(str, classes))
    )


def in_order(
    dataset: Dataset,
    classes: Sequence[str] | None,
    mapped: Mapping[str, str | int] | None = None,
    of: str = "the model",
) -> Dataset:
    """The data set with its labels in the order of other names of classes, compared as ``labels.places`` does.

    Parameters
    ----------
    dataset : Dataset with labels and names of classes; one without either is returned as it is
    classes : the other names, or None where they are numbers alone and all is ``mapped``
    mapped : names of the data to names or numbers of the others, where they differ
    of : what has these names, as the message says it

    Raises
    ------
    UserError
        Rows of classes that are not among the others; names that cannot be told apart.

    Examples
    --------
    >>> data = ArrayDataset(np.eye(2), labels=[0, 1], classes=["entailment", "neutral"])
    >>> in_order(data, ["NEUTRAL", "ENTAILMENT"]).labels
    array([1, 0])
    >>> in_order(data, ["yes", "no"], {"entailment": "yes", "neutral": "no"}).labels
    array([0, 1])
    """
    if dataset.labels is None or dataset.classes is None or (not mapped and dataset.classes == tuple(classes or ())):
        return dataset
    own, mapped = dataset.classes, mapped or {}
    counts = np.bincount(_renumbered(dataset.labels, range(len(own))) + 1, minlength=len(own) + 1)[1:]
    used = [number for number in range(len(own)) if counts[number]]
    order = np.full(len(own), -1)
    by_user = dict(zip(labelling.places(list(mapped), own, "the data").tolist(), mapped.values(), strict=True))
    rest = [number for number in used if number not in by_user]
    order[rest] = labelling.places([own[number] for number in rest], classes or (), of)
    for number in set(used) & set(by_user):
        order[number] = labelling.target(by_user[number], classes)
    if absent := [number for number in rest if order[number] < 0]:
        there = f"names {listed(classes)}" if classes else "names none"
        first = own[absent[0]]
        mapped_by = (
            f"Map them (classes={{{first!r}: ...}}, or --classes {first}=...), name" if of == "the model" else "Name"
        )
        raise UserError(
            f"Expected classes that {of} knows, but it does not know {listed([own[n] for n in absent])} "
            f"({int(counts[absent].sum())} of {len(dataset)} rows): it {there}. {mapped_by} them alike, or "
            "leave their rows out."
        )
    return relabelled(dataset, _renumbered(dataset.labels, order.tolist()), classes)


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Rows:
    """The rows of some classes, their labels counted anew 0, 1, ... in the order given.

    Raises
    ------
    UserError
        The data set has no labels, or no row of a class.

    Examples
    --------
    >>> of_classes(ArrayDataset(np.eye(3), labels=[4, 5, 6]), [6, 4]).labels
    array([1, 0])
    """
    if dataset.labels is None:
        raise UserError("Expected labels to choose classes by, but this data set has none. Leave `classes` out.")
    if absent := sorted(set(classes) - set(np.unique(dataset.labels).tolist())):
        raise UserError(f"Expected rows of classes {list(classes)}, but there is no row of {absent}. Choose others.")
    rows = np.flatnonzero(np.isin(dataset.labels, classes))
    order = {int(label): place for place, label in enumerate(classes)}
    labels = np.array([order[int(label)] for label in dataset.labels[rows]])
    known = dataset.classes or ()
    chosen = tuple(known[one] if 0 <= one < len(known) else str(one) for one in classes) if known else None
    return _View(dataset, rows, labels, chosen)


def shifted(dataset: Dataset, shift: Shift, severity: int, seed: int = 0) -> Rows:
    """Pictures under a covariate shift, as 8-bit pictures; labels stay.

    Each row has its own random stream, from the shift's name, ``seed`` and the row's number, the same at every
    severity: neither batches nor shards matter, and a higher severity moves a picture further on the same path.

    Raises
    ------
    UserError
        A severity that the shift does not have.
    """
    if severity not in shift.severities:
        raise UserError(
            f"Expected a severity of {type(shift).__name__} among {list(shift.severities)}, but got {severity}. "
            "Choose one of them."
        )
    return _Shifted(dataset, shift, severity, seed)


def concatenated(named: Mapping[str, Dataset]) -> Rows:
    """Data sets after one another; ``parts`` holds the name of the set that a row came from.

    Labels are kept where every set has them; where the sets name other classes, the names are put together and the
    labels counted anew. Sets of which only some name their classes keep their numbers, without names. Groups are put
    together as labels are; targets are kept where every set has them.

    Raises
    ------
    UserError
        No set; targets of another number of columns.

    Examples
    --------
    >>> both = concatenated({"a": ArrayDataset(np.eye(2)), "b": ArrayDataset(np.ones((1, 2)))})
    >>> len(both), both.parts.tolist(), both.read(np.array([2, 0])).tolist()
    (3, ['a', 'a', 'b'], [[1.0, 1.0], [1.0, 0.0]])
    """
    return _Concatenated(named)


def split(dataset: Dataset, shares: Mapping[str, float], seed: int = 0) -> dict[str, Rows]:
    """Disjoint parts that share out all rows, stratified by label (or by part where there are no labels).

    Parameters
    ----------
    shares : mapping of a part's name to its share; the shares add up to 1
    seed : int
        Of the order in which each class is dealt out.

    Raises
    ------
    UserError
        Shares that do not add up to 1, or a part left without rows.

    Examples
    --------
    >>> data = ArrayDataset(np.zeros((8, 2)), labels=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> {name: part.labels.tolist() for name, part in split(data, {"fit": 0.75, "test": 0.25}).items()}
    {'fit': [0, 0, 0, 1, 1, 1], 'test': [0, 1]}
    """
    total = sum(shares.values())
    if abs(total - 1) > 1e-9 or min(shares.values()) <= 0:
        raise UserError(f"Expected positive shares that add up to 1, but got {dict(shares)}. Mend the shares.")
    ends = np.cumsum([0.0, *shares.values()])
    return {
        name: between(dataset, start, stop, seed) for name, start, stop in zip(shares, ends[:-1], ends[1:], strict=True)
    }


def between(dataset: Dataset, start: float, stop: float, seed: int = 0) -> Rows:
    """The rows between two shares, 0 <= start < stop <= 1, of a seeded order of each class.

    Intervals that do not overlap give parts that do not overlap, and every class is cut alike.

    Raises
    ------
    UserError
        The interval is empty, or leaves no row.
    """
    if not 0 <= start < stop <= 1 + 1e-9:
        raise UserError(f"Expected shares 0 <= start < stop <= 1, but got {start:g} and {stop:g}. Mend them.")
    strata = _strata(dataset)
    chosen = [_cut(np.flatnonzero(strata == stratum), start, stop, seed) for stratum in np.unique(strata)]
    return subset(dataset, np.sort(np.concatenate(chosen)))


def sample(dataset: Dataset, limit: int, seed: int = 0) -> Dataset:
    """At most ``limit`` rows, seeded, every class with its share; the data set itself where it has no more."""
    return dataset if len(dataset) <= limit else subset(dataset, sampled_rows(dataset, limit, seed))


def sampled_rows(dataset: Dataset, limit: int, seed: int = 0) -> NDArray[np.int64]:
    """The numbers of the rows that ``sample`` keeps, in order."""
    strata = _strata(dataset)
    place = np.empty(len(dataset))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        place[_order(rows, seed)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:limit])


def in_memory(dataset: Dataset) -> Rows:
    """What a data set shows, read once and kept, with the same content key.

    For views that are dear to compute (shifts) and are read by many models.
    """
    items = stack([item for batch in _batches(dataset) for item in batch])
    said = about(dataset)
    kept: Rows = ArrayDataset(items, **said) if isinstance(items, np.ndarray) else ListDataset(items, **said)
    kept.__dict__.update(row_keys=row_keys(dataset), _digest=dataset.digest())
    return kept


def row_keys(dataset: Dataset) -> NDArray[np.str_]:
    """A content key for each row of any data set."""
    if isinstance(dataset, Rows):
        return dataset.row_keys
    return np.array([item_key(item) for batch in _batches(dataset) for item in batch])


def parts_of(dataset: Dataset) -> NDArray[np.str_] | None:
    """The part that each row of a pooled set belongs to, or None."""
    return dataset.parts if isinstance(dataset, Rows) else None


def targets_of(dataset: Dataset) -> NDArray[Any] | None:
    """The numbers that are to be predicted for each row, [n] or [n, k], or None.

    Examples
    --------
    >>> data = ArrayDataset(np.eye(3), targets=[0.5, 1.5, 2.5])
    >>> targets_of(subset(data, [2, 0]))
    array([2.5, 0.5])
    """
    return dataset.targets if isinstance(dataset, Rows) else None


def groups_of(dataset: Dataset) -> NDArray[np.int64] | None:
    """The number of the group that each row belongs to [n], or None.

    Examples
    --------
    >>> north, south = (ArrayDataset(np.eye(1), groups=[0], group_names=[name]) for name in ("north", "south"))
    >>> both = concatenated({"a": south, "b": north})
    >>> groups_of(both), group_names_of(both)
    (array([0, 1]), ('south', 'north'))
    """
    return dataset.groups if isinstance(dataset, Rows) else None


def group_names_of(dataset: Dataset) -> Names:
    """The names of the groups 0, 1, ..., or None."""
    return dataset.group_names if isinstance(dataset, Rows) else None


def about(dataset: Dataset, rows: slice | NDArray[np.int64] = slice(None)) -> dict[str, Any]:
    """All that a data set says beside its items, as arguments of ``Rows``: about every row, or about some.

    Examples
    --------
    >>> about(ArrayDataset(np.eye(3), labels=[4, 5, 6], targets=[0.5, 1.5, 2.5]), np.array([2]))["targets"]
    array([2.5])
    """
    by_row = {
        "labels": dataset.labels,
        "parts": parts_of(dataset),
        "targets": targets_of(dataset),
        "groups": groups_of(dataset),
    }
    some = {name: None if values is None else values[rows] for name, values in by_row.items()}
    names = {"classes": dataset.classes, "group_names": group_names_of(dataset)}
    return {**some, **names, "left_out": left_out_of(dataset)}


def left_out_of(dataset: Dataset) -> tuple[str, ...]:
    """What the data set could have held and does not, with reasons."""
    return dataset.left_out if isinstance(dataset, Rows) else ()


def tried(dataset: Dataset, rows: slice | NDArray[np.int64]) -> list[Any]:
    """Items of any data set, with a ``Fault`` in the place of those that are known not to be readable."""
    return dataset.tried(rows) if isinstance(dataset, Rows) else list(dataset.read(rows))


def looks(dataset: Dataset, rows: slice | NDArray[np.int64]) -> list[Look]:
    """A look at each of the rows of any data set."""
    return dataset.looks(rows) if isinstance(dataset, Rows) else [Look.at(item) for item in dataset.read(rows)]


def beside_of(dataset: Dataset) -> tuple[str, ...]:
    """What lay beside the data and was passed over, in sentences."""
    return dataset.beside if isinstance(dataset, Rows) else ()


def name_of(dataset: Dataset, row: int) -> str:
    """What messages call a row of any data set."""
    return dataset.name_of(row) if isinstance(dataset, Rows) else f"row {row}"


def fits_float32(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are finite in float32, as which they are read: no NaN, no infinity, nothing beyond 3.4e38."""
    largest = min(_LARGEST_FLOAT, float(np.finfo(values.dtype).max)) if values.dtype.kind == "f" else _LARGEST_FLOAT
    return np.asarray(np.abs(values) <= largest)


def item_key(item: Any) -> str:
    """Content key of one item: a picture, a feature vector, a text, a tuple of texts, or a record.

    Examples
    --------
    >>> item_key(np.zeros(2)) == item_key(np.zeros(2)), item_key("a") == item_key(("a", ""))
    (True, False)
    """
    blake = hashlib.blake2b(digest_size=12)
    if isinstance(item, np.ndarray):
        blake.update(f"{item.dtype.str}{item.shape}".encode())
        blake.update(np.ascontiguousarray(item).data)
        return blake.hexdigest()
    if isinstance(item, Mapping):
        item = [part for name, value in item.items() for part in (str(name), _value_key(value))]
    for text in (item,) if isinstance(item, (str, bytes)) else item:
        content = text.encode() if isinstance(text, str) else text
        blake.update(len(content).to_bytes(8, "little") + content)
    return blake.hexdigest()


def _value_key(value: Any) -> str:
    """The content of one value of a record; of a number, what it is, whatever type holds it."""
    return item_key(value) if isinstance(value, np.ndarray) else repr(getattr(value, "item", lambda: value)())


def row_rng(name: str, seed: int, row: int) -> np.random.Generator:
    """The random stream of one row of one shift or synthetic test."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), int(row)])


def as_float(picture: NDArray[Any]) -> NDArray[np.float32]:
    """A picture in [0, 1], from 8 bits or from floats."""
    scaled: NDArray[np.float32] = picture.astype(np.float32)
    return scaled / np.float32(255) if picture.dtype == np.uint8 else scaled


def eight_bit(picture: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """A picture in [0, 1], clipped and rounded to 8 bits."""
    rounded: NDArray[np.uint8] = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return rounded


def stack(items: Sequence[Any]) -> Items:
    """One array where all items are arrays of one shape, else the list."""
    arrays = all(isinstance(item, np.ndarray) for item in items)
    alike = arrays and len({(item.shape, item.dtype) for item in items}) == 1
    return np.stack(items) if alike else list(items)


def _batches(dataset: Dataset) -> Iterator[Items]:
    for start in range(0, len(dataset), CHUNK):
        yield dataset.read(slice(start, min(start + CHUNK, len(dataset))))


def _pooled(of: Sequence[tuple[Labels, Names]]) -> tuple[Labels, Names]:
    """Numbers of classes (or of groups) and their names, of several data sets after one another."""
    known = [(numbers, names) for numbers, names in of if numbers is not None]
    if not known or len(known) < len(of):
        return None, of[0][1] if of else None
    different = {names for _, names in known}
    if len(different) == 1:
        return np.concatenate([numbers for numbers, _ in known]), known[0][1]
    if None in different:
        return np.concatenate([numbers for numbers, _ in known]), None
    union = tuple(dict.fromkeys(name for _, names in known for name in names or ()))
    place = {name: number for number, name in enumerate(union)}
    return np.concatenate(
        [_renumbered(numbers, [place[name] for name in names or ()]) for numbers, names in known]
    ), union


def _pooled_targets(named: Mapping[str, Dataset]) -> NDArray[Any] | None:
    """Targets of several data sets after one another, where all have them."""
    known = {name: found for name, one in named.items() if (found := targets_of(one)) is not None}
    if not known or len(known) < len(named):
        return None
    if len({found.shape[1:] for found in known.values()}) > 1:
        shapes = ", ".join(f"{name} {list(found.shape)}" for name, found in known.items())
        raise UserError(
            f"Expected targets of as many numbers in every data set, but got {shapes}. Put like sets together."
        )
    return np.concatenate(list(known.values()))


def _renumbered(labels: NDArray[np.int64], order: Sequence[int]) -> NDArray[np.int64]:
    """Labels by their new numbers; -1, which says that there is none, stays."""
    inside = (labels >= 0) & (labels < len(order))
    if (odd := ~inside & (labels != -1)).any():
        raise UserError(
            f"Expected labels from 0 to {len(order) - 1}, as there are names of {len(order)} classes, but "
            f"{int(odd.sum())} of {len(labels)} rows have others, the first {int(labels[odd][0])}. Mend the labels."
        )
    found = np.full(len(labels), -1)
    found[inside] = np.asarray(order, dtype=np.int64)[labels[inside]]
    return found


def _strata(dataset: Dataset) -> NDArray[Any]:
    parts = parts_of(dataset)
    if dataset.labels is not None:
        return dataset.labels
    return np.zeros(len(dataset), np.int64) if parts is None else parts


def _order(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(rows)


def _cut(rows: NDArray[np.int64], start: float, stop: float, seed: int) -> NDArray[np.int64]:
    first, last = (round(share * len(rows)) for share in (start, stop))
    return _order(rows, seed)[first:last]


def _checked_labels(labels: ArrayLike | None, count: int) -> Labels:
    if labels is None:
        return None
    checked = np.asarray(labels)
    if checked.shape != (count,):
        raise UserError(
            f"Expected {count} labels, one for each row, but got shape {checked.shape}. Pass the labels of these rows."
        )
    if checked.dtype.kind == "f" and not (odd := ~(np.abs(checked) < 2**53) | (checked != np.rint(checked))).any():
        return checked.astype(np.int64)
    if checked.dtype.kind == "f":
        raise UserError(
            f"Expected labels that are whole numbers, but {int(odd.sum())} of {count} are not, the first "
            f"{checked[odd][0]} in row {int(np.flatnonzero(odd)[0])}. Mend or leave out these rows."
        )
    if checked.dtype.kind not in "iub" or (checked.dtype.kind == "u" and checked.max() > _LARGEST):
        raise UserError(f"Expected labels that are integers, but got {checked.dtype}. Number the classes 0, 1, ....")
    return checked.astype(np.int64)


def _checked_targets(targets: ArrayLike, count: int) -> NDArray[Any]:
    """Numbers [n] or [n, k], of the type float32 where they are that, else of float64."""
    given = np.asarray(targets)
    if given.shape[:1] != (count,) or given.ndim > 2 or 0 in given.shape:
        raise UserError(
            f"Expected targets of shape [{count}] or [{count}, k], one row of numbers for each row, but got "
            f"{list(given.shape)}. Pass the targets of these rows."
        )
    if given.dtype.kind not in "iufb":
        raise UserError(f"Expected targets that are numbers, but got {given.dtype}. Classes belong into `labels`.")
    checked = given if given.dtype == np.float32 else given.astype(np.float64)
    if (odd := ~np.isfinite(checked.reshape(count, -1)).all(axis=1)).any():
        first = int(np.flatnonzero(odd)[0])
        raise UserError(
            f"Expected targets that are finite numbers, but {int(odd.sum())} of {count} are not, the first "
            f"{checked[first]} in row {first}. Mend or leave out these rows."
        )
    return checked


def _checked_groups(groups: ArrayLike, count: int, names: Names) -> NDArray[np.int64]:
    """The number of each row's group, which has a name where there are names."""
    given = np.asarray(groups)
    if given.shape != (count,) or given.dtype.kind not in "iub":
        raise UserError(
            f"Expected {count} whole numbers of groups, one for each row, but got {given.dtype} of shape "
            f"{list(given.shape)}. Number the groups 0, 1, ...."
        )
    checked: NDArray[np.int64] = given.astype(np.int64)
    last = _LARGEST if names is None else len(names) - 1
    if (odd := (checked < 0) | (checked > last)).any():
        first = int(np.flatnonzero(odd)[0])
        within = "from 0 on" if names is None else f"from 0 to {last}, as there are {len(names)} names"
        raise UserError(
            f"Expected numbers of groups {within}, but row {first} has {checked[first]}. Number the groups 0, 1, ...."
        )
    return checked


def _check_shape(items: NDArray[Any]) -> None:
    if items.dtype.kind not in "uif":
        raise UserError(f"Expected an array of numbers, but got {items.dtype}. Save it as uint8 or float32.")
    if items.ndim not in (2, 3, 4) or 0 in items.shape[1:]:
        raise UserError(
            f"Expected pictures [n, H, W, C] or [n, H, W], or rows [n, D], but got shape {items.shape}. "
            "Reshape the array."
        )
    if 0 in items.shape:
        raise UserError(f"Expected at least one row, but got shape {items.shape}. Leave empty data out.")
    if items.ndim == 4 and items.shape[3] not in (1, 3):
        first = "Move the channels last: np.moveaxis(items, 1, 3)." if items.shape[1] in (1, 3) else "Keep 1 or 3."
        raise UserError(f"Expected pictures with 1 or 3 channels last, but got shape {items.shape}. {first}")


def _check_values(items: NDArray[Any], *, missing: bool = False) -> None:
    if items.ndim == 4 and items.dtype.kind != "f":
        raise UserError(f"Expected pictures as uint8 or float in [0, 1], but got {items.dtype}. Convert them.")
    for start in range(0, len(items), CHUNK):
        chunk = np.asarray(items[start : start + CHUNK])
        fits = fits_float32(chunk) | np.isnan(chunk) if missing else fits_float32(chunk)
        if not (sound := fits.reshape(len(chunk), -1).all(axis=1)).all():
            row = start + int(np.flatnonzero(~sound)[0])
            raise UserError(
                f"Expected finite values, but row {row} has NaN or infinity, or a number beyond {_LARGEST_FLOAT:.1e}. "
                "Mend or remove that row."
            )
        if items.ndim == 4 and (chunk.min() < 0 or chunk.max() > 1):
            raise UserError(
                f"Expected pictures in [0, 1], but got [{chunk.min():g}, {chunk.max():g}]. "
                "Divide by 255, or pass uint8."
            )
