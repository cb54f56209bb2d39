"""Intervals that several metrics share: Wilson, MOVER, and the normal interval of a mean."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.types import Estimate

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Normal quantile of a two-sided 95% interval."""
NAN = float("nan")


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a share of n independent items [1].

    Examples
    --------
    >>> [round(end, 4) for end in wilson(1.0, 20)]
    [0.8389, 1.0]

    References
    ----------
    [1] Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 1927.
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mover(value: float, sources: Sequence[tuple[float, float]], weight: float = 1.0) -> tuple[float, float]:
    """Interval of a sum from the deviations that each independent source of error allows [1].

    ``sources`` are (how far down, how far up) for each part; they add up in squares, times ``weight``.

    References
    ----------
    [1] Zou, Donner. Construction of confidence limits about effect measures. Statistics in Medicine 2008.
    """
    down, up = (weight * sqrt(sum(side**2 for side in sides)) for sides in zip(*sources, strict=True))
    return max(0.0, value - down), min(1.0, value + up)


def mean_recall(correct: NDArray[Any], labels: NDArray[Any]) -> Estimate:
    """Mean over the labels that there are of the share of right items; the interval joins the labels' Wilson intervals.

    Examples
    --------
    >>> print(mean_recall(np.array([True, True, True, False]), np.array([1, 1, 1, 0])))
    0.500 [0.219, 0.897] (n = 4)
    """
    _, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
    recalls = [float(recall) for recall in np.bincount(at, correct) / counts]
    ends = [wilson(recall, int(count)) for recall, count in zip(recalls, counts, strict=True)]
    sources = [(recall - low, high - recall) for recall, (low, high) in zip(recalls, ends, strict=True)]
    value = float(np.mean(recalls))
    return Estimate(value, *mover(value, sources, weight=1 / len(recalls)), len(correct))


def of_mean(values: NDArray[Any], floor: float = -np.inf, ceiling: float = np.inf) -> Estimate:
    """Mean of independent values with its normal interval; without an interval for one value."""
    n = len(values)
    return of_influence(float(values.mean()), float(values.var(ddof=1)) / n if n > 1 else NAN, n, floor, ceiling)


def of_influence(value: float, variance: float, n: int, floor: float = 0.0, ceiling: float = 1.0) -> Estimate:
    """Normal interval of a value of known variance, cut at the ends of its range."""
    if isnan(variance):
        return Estimate(value, n=n)
    half = Z * sqrt(variance)
    return Estimate(value, max(floor, value - half), min(ceiling, value + half), n)
