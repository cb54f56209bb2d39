"""Arrays that lie in pieces, read as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Joined:
    """Arrays one after another along their rows, none of them copied: rows are read from the pieces that hold them.

    Parameters
    ----------
    pieces : sequence of arrays of one type and equal shapes, rows aside

    Examples
    --------
    >>> both = Joined([np.array([[1], [2], [3]]), np.array([[4], [5]])])
    >>> both.shape, both[2:4].tolist(), both[np.array([4, 0])].tolist()
    ((5, 1), [[3], [4]], [[5], [1]])
    """

    def __init__(self, pieces: Sequence[NDArray[Any]]) -> None:
        self.pieces = tuple(pieces)
        self._ends = list(accumulate(len(piece) for piece in self.pieces))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.pieces[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pieces[0].dtype

    @property
    def ndim(self) -> int:
        return self.pieces[0].ndim

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        if not isinstance(rows, slice):
            return self._at(np.asarray(rows))
        start, stop, step = rows.indices(len(self))
        if step != 1:
            return self._at(np.arange(start, stop, step))
        return np.concatenate(self._between(start, stop) or [self.pieces[0][:0]])

    def _between(self, start: int, stop: int) -> list[NDArray[Any]]:
        first = bisect_right(self._ends, start)
        found = []
        while start < stop:
            begins = self._ends[first] - len(self.pieces[first])
            found.append(self.pieces[first][start - begins : stop - begins])
            start, first = self._ends[first], first + 1
        return found

    def _at(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        places = np.searchsorted(self._ends, rows, side="right")
        for place in np.unique(places):
            here = places == place
            piece = self.pieces[place]
            found[here] = piece[rows[here] - (self._ends[place] - len(piece))]
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(np.concatenate(self.pieces), dtype)


def joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any] | Joined:
    """Pieces as one array; labels and the like, one number a row, are put together in memory.

    Examples
    --------
    >>> joined([np.array([[1], [2]]), np.array([[3]])])[1:3].tolist(), joined([np.array([1]), np.array([2])])
    ([[2], [3]], array([1, 2]))
    """
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces[0].ndim == 1 else Joined(pieces)
