"""Banks: seeded subsamples of the fit rows, the same for any number of chunks and shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield.errors import UserError
from outfield.features.folds import Fold
from outfield.features.rows import Rows
from outfield.types import FIELDS, Outputs

_Part: TypeAlias = "tuple[Tensor, Outputs]"
"""The places of some rows in the draw, and the rows."""


@dataclass(frozen=True)
class Bank(Fold["list[_Part]", Rows]):
    """Rows of the fit data drawn by a hash of their number: all, a share, or at most so many, in their order.

    Parameters
    ----------
    keep : names of fields, beginnings of names of layers
        What is kept of each row.
    share : float
        Expected share of the rows, 0 < share <= 1.
    limit : int, optional
        Of these, the rows with the ``limit`` smallest hashes.
    seed : int

    Raises
    ------
    UserError
        No row was drawn.

    Examples
    --------
    >>> out = Outputs(features=torch.arange(8.0).reshape(8, 1))
    >>> fold = Bank(limit=3)
    >>> fold.finish(fold.update(fold.start(out), out, first=0))["features"].flatten()
    tensor([3., 5., 7.])
    """

    keep: tuple[str, ...] = ("features",)
    share: float = 1.0
    limit: int | None = None
    seed: int = 0

    def start(self, like: Outputs) -> list[_Part]:
        return []

    def update(self, total: list[_Part], chunk: Outputs, first: int) -> list[_Part]:
        places = torch.from_numpy(priorities(np.arange(first, first + len(chunk)), self.seed))
        drawn = torch.nonzero(places < self._below(total)).flatten()
        total.append((places[drawn], only(chunk, self.keep)[drawn]))
        return self._thinned(total)

    def merge(self, total: list[_Part], other: list[_Part]) -> list[_Part]:
        return self._thinned([*total, *other])

    def finish(self, total: list[_Part]) -> Rows:
        _, rows = _first(total, self.limit)
        self._check(len(rows))
        return Rows.of(rows)

    def numbers(self, rows: int) -> NDArray[np.int64]:
        """The numbers of the rows that the bank draws from ``rows`` rows, so that these alone need to be read.

        Examples
        --------
        >>> Bank(limit=3).numbers(8)
        array([3, 5, 7])
        """
        places = priorities(np.arange(rows), self.seed)
        drawn = np.flatnonzero(places < self.share)
        if self.limit is not None and len(drawn) > self.limit:
            drawn = np.sort(drawn[np.argpartition(places[drawn], self.limit - 1)[: self.limit]])
        self._check(len(drawn))
        return drawn

    def _check(self, drawn: int) -> None:
        if not drawn:
            raise UserError(
                f"Expected fit rows for a bank, but a share of {self.share} drew none. "
                "Take a larger share or fit on more rows."
            )

    def _below(self, total: list[_Part]) -> float:
        """The place that a row must lie below: where the bank was full, that of the last one kept."""
        full = self.limit is not None and total and len(total[0][0]) == self.limit
        return float(total[0][0].max()) if full else self.share

    def _thinned(self, parts: list[_Part]) -> list[_Part]:
        crowded = self.limit is not None and sum(len(places) for places, _ in parts) > _CROWDED * self.limit
        return [_first(parts, self.limit)] if crowded else parts


_CROWDED = 1.25
"""How many times its limit a bank may hold before the rows with the largest hashes are dropped."""


def _first(parts: list[_Part], limit: int | None) -> _Part:
    """The rows with the smallest places, in their order."""
    places = torch.cat([part for part, _ in parts])
    if limit is not None and len(places) > limit:
        last = places.kthvalue(limit).values
        parts = [(part[part <= last], rows[part <= last]) for part, rows in parts]
    return torch.cat([part for part, _ in parts]), Outputs.cat([rows for _, rows in parts])


def only(out: Outputs, names: tuple[str, ...]) -> Outputs:
    """The same rows with the named fields alone, and the layers whose names begin with one of ``names``.

    Examples
    --------
    >>> only(Outputs(logits=torch.ones(2, 3), features=torch.ones(2, 4)), ("features",))
    Outputs(features [2, 4])
    """
    fields = {name: getattr(out, name) for name in names if name in (*FIELDS, "head")}
    return Outputs(**fields, layers={name: value for name, value in out.layers.items() if name.startswith(names)})


def priorities(rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each row number: SplitMix64 of row and seed, so that no state is carried.

    Examples
    --------
    >>> places = priorities(np.arange(6), seed=0)
    >>> bool((priorities(np.arange(3, 6), seed=0) == places[3:]).all()), bool((places < 1).all())
    (True, True)
    """
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray(z >> np.uint64(11), dtype=np.float64) / float(1 << 53)
