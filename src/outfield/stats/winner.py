"""The best of many: how much of its lead is luck, and which rows cannot be told apart from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Result, vector
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

TIE = 1e-12
GRID, STEPS = 400, 100
"""Support points of the prior of true values, and steps of EM."""
REACH, ABOVE = 20, 2
"""Errors below and above the best value between which true values are sought: rows below have no part in being best."""


@dataclass(frozen=True, eq=False)
class Winner(Result):
    """The rows with the best value, and what is left of their lead.

    Parameters
    ----------
    best : tuple of str
        All rows of the best value.
    value : float
    curse : float
        By how much the best of so many is expected to be overrated: the winner's curse. Of several best ones the mean.
    shrunken : float
        The best value without it: the true value to be expected.
    probability : mapping
        Row to the probability that it is truly the best.
    alike : tuple of str
        Rows that cannot be told apart from the best, which are among them: a set that holds the truly best one with
        the stated confidence.
    filled : tuple of str
        Rows without an error of their own: they have the median of the others.

    Examples
    --------
    >>> found = winner([0.90, 0.89, 0.70, 0.60], [0.01] * 4, names=["a", "b", "c", "d"])
    >>> found.best, found.alike, round(found.curse, 3), round(found.probability["a"], 2)
    (('a',), ('a', 'b'), 0.005, 0.53)
    """

    best: tuple[str, ...]
    value: float
    curse: float
    shrunken: float
    probability: dict[str, float]
    alike: tuple[str, ...]
    filled: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        """Rows by their probability to be the best, and whether they can be told apart from it."""
        import polars as pl

        rows = [{"name": k, "probability": p, "alike": k in self.alike} for k, p in self.probability.items()]
        return pl.DataFrame(rows).sort("probability", "name", descending=[True, False])


def winner(
    values: Any,
    errors: Any,
    *,
    names: Sequence[str] = (),
    higher_is_better: bool = True,
    confidence: float = 0.95,
) -> Winner:
    """The best of many rows, whose errors are known, corrected for having been chosen.

    The distribution of true values is estimated from all rows, without a form (maximum likelihood on a grid by EM [1]),
    for the best rows lie in its tail. Under it, a row's posterior mean is free of the bias of having been chosen [2],
    and the posteriors together give each row's probability to be the best. A row belongs to the set of those alike
    where no other is better by more than ``z`` standard errors of their difference, z one-sided at
    ``(1 - confidence) / (n - 1)`` [3]. Errors of rows are taken as independent, normal and exact; rows measured on the
    same items differ by less than that, so the set errs by being too large.

    Parameters
    ----------
    values, errors : vectors [n]
        Values, and their standard errors; an error of 0 or NaN is not known.
    names : of the rows

    Raises
    ------
    UserError
        Fewer than two rows; errors of less than half of them are known.

    Examples
    --------
    >>> winner([0.8, 0.8, 0.8], [0.01, 0.01, 0.01], names=["a", "b", "c"]).best
    ('a', 'b', 'c')

    References
    ----------
    [1] Koenker and Mizera, Convex Optimization, Shape Constraints, Compound Decisions, and Empirical Bayes Rules, JASA
    109, 2014.
    [2] Efron, Tweedie's Formula and Selection Bias, JASA 106, 2011.
    [3] Hsu, Constrained Simultaneous Confidence Intervals for Multiple Comparisons with the Best, Annals of Statistics
    12, 1984.
    """
    sign = 1 if higher_is_better else -1
    value, error = sign * vector(values), vector(errors, "errors")
    if len(value) < 2 or len(value) != len(error) or not np.isfinite(value).all():
        raise UserError(
            f"Expected two finite values or more, an error each, but got {len(value)} values and {len(error)} errors. "
            "Leave out rows without a value."
        )
    labels = np.asarray(tuple(names) or tuple(f"row {i}" for i in range(len(value))))
    error, unknown = _filled(error)
    best = value >= value.max() - TIE
    grid, posterior = _posterior(value, error)
    shrunken = float((posterior[best] @ grid).mean())
    z = stats.norm.isf((1 - confidence) / (len(value) - 1))
    return Winner(
        best=tuple(labels[best].tolist()), value=float(sign * value.max()), curse=float(value.max() - shrunken),
        shrunken=sign * shrunken, probability=dict(zip(labels.tolist(), _first(posterior).tolist(), strict=True)),
        alike=tuple(labels[_alike(value, error, float(z))].tolist()), filled=tuple(labels[unknown].tolist()),
        n_units=len(value), correction=f"Bonferroni over {len(value) - 1} rivals",
    )  # fmt: skip


def _filled(error: Array) -> tuple[Array, Array]:
    """Errors, unknown ones as the median of the others; and which were unknown."""
    unknown = ~(np.isfinite(error) & (error > 0))
    if unknown.mean() > 0.5:
        raise UserError(
            f"Expected standard errors of half the rows or more, but {int(unknown.sum())} of {len(error)} are 0 or "
            "missing. Give them with --error."
        )
    return np.where(unknown, np.median(error[~unknown]), error), unknown


def _posterior(value: Array, error: Array) -> tuple[Array, Array]:
    """Support points of true values, and each row's posterior over them: [grid], [n, grid]."""
    grid = value.max() + np.median(error) * np.linspace(-REACH, ABOVE, GRID)
    likelihood = stats.norm.pdf((value[:, None] - grid) / error[:, None]) / error[:, None]
    near = value >= grid[0]
    prior = np.full(GRID, 1 / GRID)
    for _ in range(STEPS):
        prior = prior * (likelihood[near].T @ (1 / (likelihood[near] @ prior))) / near.sum()
    joint = np.where(near[:, None], likelihood * prior, np.eye(GRID)[0])
    return grid, joint / joint.sum(axis=1, keepdims=True)


def _first(posterior: Array) -> Array:
    """Probability of each row to be the highest; of two at one support point each counts as above by half."""
    below = np.maximum(posterior.cumsum(axis=1) - posterior / 2, TIE**2)
    others = np.exp(np.log(below).sum(axis=0) - np.log(below))
    chance = (posterior * others).sum(axis=1)
    return np.asarray(chance / chance.sum())


def _alike(value: Array, error: Array, z: float) -> Array:
    """Whether no other row is better by more than z errors of the difference."""
    return np.array([
        (np.delete(value, i) - value[i] <= z * np.hypot(np.delete(error, i), error[i])).all() for i in range(len(value))
    ])  # fmt: skip
