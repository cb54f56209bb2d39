"""Data sets: rows of inputs with what is said of them, as an array or a list; and what can be asked of any data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield import keys
from outfield.data.base import CHUNK, Dataset, Items, Labels, Names
from outfield.data.content_keys import item_key
from outfield.data.faults import Look
from outfield.data.validation import check_shape, check_values, checked_groups, checked_labels, checked_targets
from outfield.errors import UserError


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

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> rows = ArrayDataset(np.arange(6.0).reshape(3, 2), labels=[0, 1, 1])
    >>> len(rows), rows.read(slice(1, 2)), rows.labels
    (3, array([[2., 3.]], dtype=float32), array([0, 1, 1]))
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
        self.labels: Labels = checked_labels(labels, count)
        self.classes: Names = None if classes is None else tuple(map(str, classes))
        self.parts: NDArray[np.str_] | None = None if parts is None else np.asarray(parts, dtype=np.str_)
        self.left_out = tuple(left_out)
        self.targets = None if targets is None else checked_targets(targets, count)
        self.group_names: Names = None if group_names is None else tuple(map(str, group_names))
        self.groups: Labels = None if groups is None else checked_groups(groups, count, self.group_names)
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
        return np.array([item_key(item) for batch in batches(self) for item in batch])

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
        groups = {} if self.groups is None else {"groups": [keys.of_array(self.groups), self.group_names]}
        return keys.key(items=keys.of_array(self.row_keys), labels=labels, **targets, **groups)

    def digest(self) -> str:
        """Content key of all items, labels, targets and groups, in order."""
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
        check_shape(items)
        super().__init__(len(items), labels, classes, parts, left_out, **more)
        self.items = items[..., None] if items.ndim == 3 else items
        if self.items.dtype != np.uint8:
            check_values(self.items, missing=missing and self.items.ndim == 2)

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


def targets_of(dataset: Dataset) -> NDArray[Any] | None:
    """The numbers that are to be predicted for each row, [n] or [n, k], or None.

    Examples
    --------
    >>> from outfield.data.views import subset
    >>> data = ArrayDataset(np.eye(3), targets=[0.5, 1.5, 2.5])
    >>> targets_of(subset(data, [2, 0]))
    array([2.5, 0.5])
    """
    return dataset.targets if isinstance(dataset, Rows) else None


def groups_of(dataset: Dataset) -> NDArray[np.int64] | None:
    """The number of the group that each row belongs to [n], or None.

    Examples
    --------
    >>> from outfield.data.views import concatenated
    >>> north, south = (ArrayDataset(np.eye(1), groups=[0], group_names=[name]) for name in ("north", "south"))
    >>> both = concatenated({"a": south, "b": north})
    >>> groups_of(both), group_names_of(both)
    (array([0, 1]), ('south', 'north'))
    """
    return dataset.groups if isinstance(dataset, Rows) else None


def group_names_of(dataset: Dataset) -> Names:
    """The names of the groups 0, 1, ..., or None.

    Examples
    --------
    >>> group_names_of(ArrayDataset(np.eye(2), groups=[0, 1], group_names=["north", "south"]))
    ('north', 'south')
    """
    return dataset.group_names if isinstance(dataset, Rows) else None


def parts_of(dataset: Dataset) -> NDArray[np.str_] | None:
    """The part that each row of a pooled set belongs to, or None.

    Examples
    --------
    >>> parts_of(ArrayDataset(np.eye(2), parts=["letters", "symbols"])).tolist()
    ['letters', 'symbols']
    """
    return dataset.parts if isinstance(dataset, Rows) else None


def left_out_of(dataset: Dataset) -> tuple[str, ...]:
    """What the data set could have held and does not, with reasons.

    Examples
    --------
    >>> left_out_of(ArrayDataset(np.eye(2), left_out=["3.png: is empty"]))
    ('3.png: is empty',)
    """
    return dataset.left_out if isinstance(dataset, Rows) else ()


def beside_of(dataset: Dataset) -> tuple[str, ...]:
    """What lay beside the data and was passed over, in sentences."""
    return dataset.beside if isinstance(dataset, Rows) else ()


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


def name_of(dataset: Dataset, row: int) -> str:
    """What messages call a row of any data set.

    Examples
    --------
    >>> name_of(ArrayDataset(np.eye(2)), 1)
    'row 1'
    """
    return dataset.name_of(row) if isinstance(dataset, Rows) else f"row {row}"


def row_keys(dataset: Dataset) -> NDArray[np.str_]:
    """A content key for each row of any data set.

    Examples
    --------
    >>> keys_of_rows = row_keys(ListDataset(["a film", "a play", "a film"]))
    >>> keys_of_rows[0] == keys_of_rows[2] != keys_of_rows[1]
    True
    """
    if isinstance(dataset, Rows):
        return dataset.row_keys
    return np.array([item_key(item) for batch in batches(dataset) for item in batch])


def tried(dataset: Dataset, rows: slice | NDArray[np.int64]) -> list[Any]:
    """Items of any data set, with a ``Fault`` in the place of those that are known not to be readable.

    Examples
    --------
    >>> tried(ListDataset(["a film", "a play"]), slice(1, 2))
    ['a play']
    """
    return dataset.tried(rows) if isinstance(dataset, Rows) else list(dataset.read(rows))


def looks(dataset: Dataset, rows: slice | NDArray[np.int64]) -> list[Look]:
    """A look at each of the rows of any data set.

    Examples
    --------
    >>> [look.shape for look in looks(ArrayDataset(np.zeros((2, 4, 4), np.uint8)), slice(None))]
    [(4, 4, 1), (4, 4, 1)]
    """
    return dataset.looks(rows) if isinstance(dataset, Rows) else [Look.at(item) for item in dataset.read(rows)]


def batches(dataset: Dataset) -> Iterator[Items]:
    """All items of a data set, ``CHUNK`` rows at a time.

    Examples
    --------
    >>> [len(batch) for batch in batches(ArrayDataset(np.zeros((600, 2))))]
    [512, 88]
    """
    for start in range(0, len(dataset), CHUNK):
        yield dataset.read(slice(start, min(start + CHUNK, len(dataset))))


def stack(items: Sequence[Any]) -> Items:
    """One array where all items are arrays of one shape, else the list.

    Examples
    --------
    >>> stack([np.zeros(2), np.ones(2)]).shape, len(stack([np.zeros(2), np.ones(3)]))
    ((2, 2), 2)
    """
    arrays = all(isinstance(item, np.ndarray) for item in items)
    alike = arrays and len({(item.shape, item.dtype) for item in items}) == 1
    return np.stack(items) if alike else list(items)
