"""Intervals that several metrics share: Wilson, MOVER, and the normal interval of a mean."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.metrics._weights import Weights, effective, mean, variance_of_mean, worth
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


def quantile(weights: Weights | None) -> float:
    """Quantile of a two-sided 95% interval: the normal one; Student's for the effective size of unequal weights."""
    if weights is None or weights.min() == weights.max():
        return Z
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, max(effective(weights) - 1, 1e-3)))


def share(hits: NDArray[Any], weights: Weights | None) -> tuple[float, float, float]:
    """A share of hits with Wilson's interval, for as many items as the weights are worth.

    Examples
    --------
    >>> [round(end, 3) for end in share(np.array([True, True, False]), None)]
    [0.667, 0.208, 0.939]
    """
    value = mean(hits, weights)
    return value, *wilson(value, worth(hits, weights))


def mean_recall(correct: NDArray[Any], labels: NDArray[Any], weights: Weights | None = None) -> Estimate:
    """Mean over the labels that there are of the share of right items; the interval joins the labels' Wilson intervals.

    Examples
    --------
    >>> print(mean_recall(np.array([True, True, True, False]), np.array([1, 1, 1, 0])))
    0.500 [0.219, 0.897] (n = 4)
    """
    shares = _recalls(correct, labels) if weights is None else _weighted_recalls(correct, labels, weights)
    sources = [(recall - low, high - recall) for recall, low, high in shares]
    value = float(np.mean([recall for recall, _, _ in shares]))
    return Estimate(value, *mover(value, sources, weight=1 / len(shares)), len(correct))


def _recalls(correct: NDArray[Any], labels: NDArray[Any]) -> list[tuple[float, float, float]]:
    _, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
    recalls = [float(recall) for recall in np.bincount(at, correct) / counts]
    return [(recall, *wilson(recall, int(count))) for recall, count in zip(recalls, counts, strict=True)]


def _weighted_recalls(
    correct: NDArray[Any], labels: NDArray[Any], weights: Weights
) -> list[tuple[float, float, float]]:
    of_label = (labels == label for label in np.unique(labels))
    return [share(correct[rows], weights[rows]) for rows in of_label]


def of_mean(
    values: NDArray[Any], weights: Weights | None = None, floor: float = -np.inf, ceiling: float = np.inf
) -> Estimate:
    """Mean of independent values with its interval; without one for one value, or for values that are all the same."""
    variance = variance_of_mean(values, weights) if values.min() < values.max() else NAN
    return of_influence(mean(values, weights), variance, len(values), floor, ceiling, quantile=quantile(weights))


def of_influence(
    value: float, variance: float, n: int, floor: float = 0.0, ceiling: float = 1.0, *, quantile: float = Z
) -> Estimate:
    """Normal interval of a value of known variance, cut at the ends of its range."""
    if isnan(variance):
        return Estimate(value, n=n)
    half = quantile * sqrt(variance)
    return Estimate(value, max(floor, value - half), min(ceiling, value + half), n)
