"""Data sets of a study in memory: made once and not for each model, and not at all where nobody reads them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Items
from outfield.data.datasets import ArrayDataset, ListDataset, Rows, about, batches, name_of, row_keys, stack, tried

SMALL = 256 << 20
"""Bytes up to which a data set is held in memory."""


class Kept(Rows):
    """A data set that is read into memory, where it is small, when its items are first asked for.

    Its content key is that of the data set, so that a study whose jobs are done computes no shifted picture.

    Examples
    --------
    >>> from outfield.data.datasets import ListDataset
    >>> films = ListDataset(["a film", "a play"])
    >>> Kept(films).read(slice(1, 2)), Kept(films).digest() == films.digest()
    (['a play'], True)
    """

    def __init__(self, of: Dataset) -> None:
        super().__init__(len(of), **about(of))
        self.of = of

    @cached_property
    def _items(self) -> Dataset:
        first = self.of.read(slice(0, 1))[0]
        return in_memory(self.of) if len(self) * getattr(first, "nbytes", 0) <= SMALL else self.of

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: the items too, so that they are not made again there."""
        return {**self.__dict__, "_items": self._items}

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        return self._items.read(rows)

    def tried(self, rows: slice | NDArray[np.int64]) -> list[Any]:
        return tried(self.of, rows)

    def name_of(self, row: int) -> str:
        return name_of(self.of, row)

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        return row_keys(self.of)

    def digest(self) -> str:
        return self.of.digest()


def in_memory(dataset: Dataset) -> Rows:
    """What a data set shows, read once and kept, with the same content key.

    For views that are dear to compute (shifts) and are read by many models.

    Examples
    --------
    >>> from outfield.data.views import subset
    >>> some = subset(ArrayDataset(np.eye(3)), [2, 0])
    >>> in_memory(some).items.tolist(), in_memory(some).digest() == some.digest()
    ([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], True)
    """
    items = stack([item for batch in batches(dataset) for item in batch])
    said = about(dataset)
    kept: Rows = ArrayDataset(items, **said) if isinstance(items, np.ndarray) else ListDataset(items, **said)
    kept.__dict__.update(row_keys=row_keys(dataset), _digest=dataset.digest())
    return kept
