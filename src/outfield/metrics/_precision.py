"""Areas under precision-recall curves from counts at the positives' own thresholds."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError
from outfield.metrics._ranking import Masses, logit_interval
from outfield.metrics._weights import Weights, mean
from outfield.types import Estimate

Counts: TypeAlias = NDArray[np.int64]
Interpolation: TypeAlias = Literal["step", "trapezoid"]


def group_starts(ascending: NDArray[Any]) -> Counts:
    """For each value of a sorted array the index of the first value equal to it.

    Examples
    --------
    >>> group_starts(np.array([1.0, 2.0, 2.0, 5.0]))
    array([0, 1, 1, 3])
    """
    new = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))
    return np.repeat(new, np.diff(np.append(new, len(ascending))))


def group_ends(ascending: NDArray[Any]) -> Counts:
    """For each value of a sorted array how many values are not above it.

    Examples
    --------
    >>> group_ends(np.array([1.0, 2.0, 2.0, 5.0]))
    array([1, 3, 3, 4])
    """
    last = np.flatnonzero(np.concatenate((ascending[1:] != ascending[:-1], [True])))
    return np.repeat(last + 1, np.diff(last, prepend=-1))


def area(
    hits: Masses,
    alarms: Masses,
    stricter: tuple[Masses, Masses],
    interpolation: Interpolation,
    *,
    weights: Weights | None = None,
    interval: bool = True,
) -> Estimate:
    """Area under a precision-recall curve.

    Parameters
    ----------
    hits, alarms : counts, or sums of weights, [m]
        Positives and negatives at least as extreme as each positive.
    stricter : pair of the same [m]
        The same just before that positive's threshold is reached: both strictly more extreme.
    interpolation : ``"step"`` or ``"trapezoid"``
    weights : array [m], optional
        Of the positives, in that order.
    interval : bool
        Whether there is to be one: for weighted samples none of known coverage is at hand.

    The interval is the logit interval with standard error ``sqrt(A (1 - A) / m)`` [1], which is wide:
    simulated coverage is .97 to .99. There is none at 0 and 1.

    References
    ----------
    [1] Boyd, Eng, Page. Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals. ECML 2013.
    """
    precision = _precision(hits, alarms)
    if interpolation == "trapezoid":
        precision = (precision + _precision(*stricter)) / 2
    elif interpolation != "step":
        raise UserError(f"Expected interpolation 'step' or 'trapezoid', but got {interpolation!r}. Pass one of them.")
    value, m = min(1.0, mean(precision, weights)), len(hits)
    if not (interval and 0 < value < 1):
        return Estimate(value, n=m)
    return Estimate(value, *logit_interval(value, (value * (1 - value) / m) ** 0.5), m)


def _precision(hits: Masses, alarms: Masses) -> NDArray[np.float64]:
    """Precision, 1 where nothing is caught yet."""
    caught = hits + alarms
    shares: NDArray[np.float64] = np.divide(hits, caught, out=np.ones(len(caught)), where=caught > 0)
    return shares
