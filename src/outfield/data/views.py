"""Views of data sets: some rows, other labels, other classes, a covariate shift, several sets after one another.

A view computes what it shows when it is read; nothing is copied before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield import keys
from outfield.data import labels as labelling
from outfield.data.base import Dataset, Items, Labels, Names, Shift, row_rng
from outfield.data.content_keys import item_key
from outfield.data.datasets import (
    Rows,
    about,
    beside_of,
    group_names_of,
    groups_of,
    left_out_of,
    looks,
    name_of,
    row_keys,
    stack,
    targets_of,
    tried,
)
from outfield.data.faults import Look
from outfield.data.pictures import as_float, eight_bit
from outfield.data.validation import checked_labels
from outfield.errors import UserError, listed


def subset(dataset: Dataset, rows: ArrayLike) -> Rows:
    """The given rows (numbers or a mask), in that order.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
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
    >>> from outfield.data.datasets import ArrayDataset
    >>> relabelled(ArrayDataset(np.eye(2), labels=[4, 5]), [0, 1]).labels
    array([0, 1])
    """
    rows = np.arange(len(dataset))
    return _View(
        dataset, rows, checked_labels(labels, len(dataset)), None if classes is None else tuple(map(str, classes))
    )


def in_parts(dataset: Dataset, parts: ArrayLike) -> Rows:
    """The same items without labels, each with the name of its part: an OOD class, a unit test.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> in_parts(ArrayDataset(np.eye(2), labels=[0, 1]), ["sky", "salamander"]).parts.tolist()
    ['sky', 'salamander']
    """
    return _View(dataset, np.arange(len(dataset)), None, None, parts=parts)


def in_groups(dataset: Dataset, groups: ArrayLike, names: Sequence[str]) -> Rows:
    """The same items with their labels, each with the number of its group (a domain, a hospital).

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> found = in_groups(ArrayDataset(np.eye(2), labels=[0, 1]), [1, 0], ["hospital 0", "hospital 1"])
    >>> found.groups, found.labels
    (array([1, 0]), array([0, 1]))
    """
    rows = np.arange(len(dataset))
    return _View(dataset, rows, dataset.labels, dataset.classes, groups=groups, group_names=tuple(names))


def with_targets(dataset: Dataset, targets: ArrayLike) -> Rows:
    """The same items with numbers that are to be predicted, and without classes.

    Raises
    ------
    UserError
        Not a number, or a row of numbers, for each item.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> with_targets(ArrayDataset(np.eye(2)), [0.5, 1.5]).targets
    array([0.5, 1.5])
    """
    return _View(dataset, np.arange(len(dataset)), None, None, targets=targets)


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
    >>> from outfield.data.datasets import ArrayDataset
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
    >>> from outfield.data.datasets import ArrayDataset
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

    Examples
    --------
    >>> from outfield import registry
    >>> from outfield.data.datasets import ArrayDataset
    >>> picture = ArrayDataset(np.array([[[0, 255]]], np.uint8))
    >>> shifted(picture, registry.create("shifts", "contrast_inversion"), 5).read(slice(None)).dtype
    dtype('uint8')
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
    >>> from outfield.data.datasets import ArrayDataset
    >>> both = concatenated({"a": ArrayDataset(np.eye(2)), "b": ArrayDataset(np.ones((1, 2)))})
    >>> len(both), both.parts.tolist(), both.read(np.array([2, 0])).tolist()
    (3, ['a', 'a', 'b'], [[1.0, 1.0], [1.0, 0.0]])
    """
    return _Concatenated(named)


class _View(Rows):
    """Some rows of another data set."""

    def __init__(self, of: Dataset, rows: NDArray[np.int64], labels: Labels, classes: Names, **more: Any) -> None:
        super().__init__(len(rows), **about(of, rows) | {"labels": labels, "classes": classes} | more)
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
