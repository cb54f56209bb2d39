"""Some rows of a data set by chance: disjoint parts, shares and samples, seeded and stratified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset
from outfield.data.datasets import Rows, parts_of
from outfield.data.views import subset
from outfield.errors import UserError


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
    >>> from outfield.data.datasets import ArrayDataset
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


def between(dataset: Dataset, start: float, stop: float, seed: int = 0, *, by: NDArray[Any] | None = None) -> Rows:
    """The rows between two shares, 0 <= start < stop <= 1, of a seeded order of each class, or of each value of ``by``.

    Intervals that do not overlap give parts that do not overlap, and every class is cut alike.

    Raises
    ------
    UserError
        The interval is empty, or leaves no row.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> data = ArrayDataset(np.zeros((8, 2)), labels=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> between(data, 0.5, 1.0).labels
    array([0, 0, 1, 1])
    """
    if not 0 <= start < stop <= 1 + 1e-9:
        raise UserError(f"Expected shares 0 <= start < stop <= 1, but got {start:g} and {stop:g}. Mend them.")
    strata = _strata(dataset) if by is None else by
    chosen = [_cut(np.flatnonzero(strata == stratum), start, stop, seed) for stratum in np.unique(strata)]
    return subset(dataset, np.sort(np.concatenate(chosen)))


def sample(dataset: Dataset, limit: int, seed: int = 0) -> Dataset:
    """At most ``limit`` rows, seeded, every class with its share; the data set itself where it has no more.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> sample(ArrayDataset(np.zeros((6, 2)), labels=[0, 0, 0, 0, 1, 1]), 3).labels
    array([0, 0, 1])
    """
    return dataset if len(dataset) <= limit else subset(dataset, sampled_rows(dataset, limit, seed))


def sampled_rows(dataset: Dataset, limit: int, seed: int = 0) -> NDArray[np.int64]:
    """The numbers of the rows that ``sample`` keeps, in order.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> len(sampled_rows(ArrayDataset(np.zeros((6, 2))), 4))
    4
    """
    strata = _strata(dataset)
    place = np.empty(len(dataset))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        place[_order(rows, seed)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:limit])


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
