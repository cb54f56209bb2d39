"""Weights of samples: what a weighted mean is, how far it may be off, and how many equal samples it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.errors import UserError
from outfield.metrics._arrays import numbers

Weights = NDArray[np.float64]

FEW = 10
"""Below so many effective samples a linearised variance is not trusted."""


def checked(weights: ArrayLike | None, n: int, what: str) -> Weights | None:
    """Weights [n] of samples as float64; None where there are none, or all are 1.

    Raises
    ------
    UserError
        Another length; NaN, infinite or negative weights; none above 0.

    Examples
    --------
    >>> checked([2, 0, 1], 3, "ID"), checked([1, 1], 2, "ID")
    (array([2., 0., 1.]), None)
    """
    if weights is None:
        return None
    array = numbers(weights, f"{what} weights").astype(np.float64)
    if array.shape != (n,):
        raise UserError(
            f"Expected {what} weights with {n} entries, one for each sample, but got {list(array.shape)}. "
            "Pass one weight for each sample, in the samples' order."
        )
    if bad := int(np.sum(~(np.isfinite(array) & (array >= 0)))):
        raise UserError(
            f"Expected {what} weights that are finite and not negative, but {bad} of {n} are NaN, infinite or below 0. "
            "Give a sample that is not to count the weight 0."
        )
    with np.errstate(over="ignore"):
        total = float(array.sum())
    if not 0 < total < np.inf:
        raise UserError(
            f"Expected {what} weights of which one is above 0, with a finite sum, but they add up to {total:g}. "
            "Scale the weights, or leave them out to count every sample once."
        )
    return None if (array == 1).all() else array


def counted(weights: Weights | None) -> slice | NDArray[np.bool_]:
    """The rows that count: those of weight 0 are as good as absent."""
    return slice(None) if weights is None or weights.all() else weights > 0


def effective(weights: Weights) -> float:
    """Kish's effective sample size, ``(sum w)^2 / sum w^2`` [1].

    Examples
    --------
    >>> effective(np.array([1.0, 1.0, 0.0])), effective(np.array([8.0, 1.0, 1.0])).__round__(2)
    (2.0, 1.52)

    References
    ----------
    [1] Kish. Survey Sampling. Wiley 1965.
    """
    shares = weights / weights.max()
    return float(shares.sum() ** 2 / (shares @ shares))


def mean(values: NDArray[Any], weights: Weights | None) -> float:
    """Mean of values, weighted where weights are given.

    Examples
    --------
    >>> mean(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    0.75
    """
    if weights is None:
        return float(values.mean())
    return float((weights @ values) / weights.sum())


def variance_of_mean(values: NDArray[Any], weights: Weights | None) -> float:
    """Variance of a mean of independent values; NaN for one value.

    With weights, which are taken as part of the sample, ``sum h_i^2 e_i^2 / (1 - 2 h_i + sum h^2)`` with shares
    ``h = w / sum w`` and residuals e: unbiased where the values' variance does not hang on the weight, and the usual
    ``var / n`` for equal weights.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 4.0])
    >>> abs(variance_of_mean(values, np.full(3, 5.0)) - variance_of_mean(values, None)) < 1e-15
    True
    """
    n = len(values)
    if n < 2:
        return float("nan")
    if weights is None:
        return float(values.var(ddof=1)) / n
    shares = weights / weights.sum()
    residuals = values - shares @ values
    left = (1 - shares) ** 2 + shares @ shares - shares**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.sum((shares * residuals) ** 2 / left))


def worth(hits: NDArray[np.bool_], weights: Weights | None) -> float:
    """How many equal samples a share of hits is worth, for Wilson's interval.

    With weights the smaller of Kish's size and of ``p (1 - p) / variance`` [1]: weights that go with what is counted
    cost more than Kish's size says.

    References
    ----------
    [1] Korn, Graubard. Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
    from Survey Data. Survey Methodology 1998.
    """
    if weights is None:
        return len(hits)
    shares = weights / weights.sum()
    p = float(shares @ hits)
    variance = float(np.sum((shares * (hits - p)) ** 2))
    size = effective(weights)
    return min(size, p * (1 - p) / variance) if 0 < p < 1 and variance > 0 else size
