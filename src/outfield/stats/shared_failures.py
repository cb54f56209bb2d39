"""Items that all models get wrong, against as many as independent errors would give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Result
from outfield.types import Array


@dataclass(frozen=True, eq=False)
class SharedFailures(Result):
    """Items on which all models are wrong.

    Attributes
    ----------
    rows : tuple of int
        Places of the items that all models get wrong.
    expected : float
        How many there would be if the errors were independent.
    p : float
        One-sided, of as many or more by independent errors: binomial.
    counts : tuple of int
        Items by how many models are wrong on them, from none to all.
    expected_counts : tuple of float
        The same if the errors were independent.
    n_models : int

    Examples
    --------
    >>> found = shared_failures([[1, 0, 0, 0], [1, 1, 0, 0]])
    >>> found.rows, found.expected, found.counts, found.expected_counts
    ((0,), 0.5, (2, 1, 1), (1.5, 2.0, 0.5))
    """

    rows: tuple[int, ...]
    expected: float
    p: float
    counts: tuple[int, ...]
    expected_counts: tuple[float, ...]
    n_models: int


def shared_failures(wrong: Any) -> SharedFailures:
    """Items that every model gets wrong, and how many the models' error rates alone would give.

    With error rates e_m all of M models are wrong on ``n e_1 ... e_M`` of n items if errors are independent; the number
    of models that are wrong on an item then has the Poisson binomial distribution.

    Parameters
    ----------
    wrong : array of 0 and 1, [models, items]

    Raises
    ------
    UserError
        Fewer than two models, no item, or values that are neither 0 nor 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = shared_failures(rng.random((3, 2000)) < 0.2)
    >>> len(found.rows), round(found.expected, 1), found.p > 0.05
    (11, 17.7, True)
    """
    table = np.asarray(wrong, dtype=float)
    if table.ndim != 2 or len(table) < 2 or not table.shape[1]:
        raise UserError(f"Expected answers of two models or more [models, items], but got shape {list(table.shape)}.")
    if not np.isin(table, (0, 1)).all():
        raise UserError("Expected 1 where a model is wrong and 0 where it is right, but got other values.")
    rates, n = table.mean(axis=1), table.shape[1]
    by_all = np.flatnonzero(table.all(axis=0))
    chance = float(rates.prod())
    counts = np.bincount(table.sum(axis=0).astype(int), minlength=len(table) + 1)
    return SharedFailures(
        rows=tuple(by_all.tolist()),
        expected=n * chance,
        p=float(stats.binom.sf(len(by_all) - 1, n, chance)),
        counts=tuple(counts.tolist()),
        expected_counts=tuple((n * _poisson_binomial(rates)).tolist()),
        n_models=len(table),
        level="sample",
        n_units=n,
    )


def _poisson_binomial(rates: Array) -> Array:
    """Chances of 0, 1, ... M events with these rates: the product of their generating functions."""
    return np.asarray(reduce(np.convolve, ([1 - rate, rate] for rate in rates), np.ones(1)))
