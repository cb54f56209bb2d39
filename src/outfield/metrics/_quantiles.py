"""Shares beyond a threshold that is itself an order statistic of the other sample."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt

import numpy as np

from outfield.metrics._intervals import Z, mover, wilson
from outfield.metrics._weights import Weights, effective, worth
from outfield.types import Estimate

BEYOND = 5
"""Fewer effective weighted items beyond a threshold do not tell where it lies."""


def ranks(n: int, percent: float) -> tuple[int, int, int]:
    """Rank (from 1) of the smallest value that keeps ``percent`` of n, and the ranks of its 95% interval.

    Examples
    --------
    >>> ranks(20, 95), ranks(1000, 95)
    ((19, 17, 20), (950, 936, 964))
    """
    rank = max(1, ceil(round(percent * n / 100, 9)))
    spread = Z * sqrt(n * percent / 100 * (1 - percent / 100))
    return rank, max(1, round(rank - spread)), min(n, round(rank + spread))


def weighted_ranks(weights: Weights, percent: float) -> tuple[int, int, int]:
    """The same of values whose weights, in ascending order, are given: ``percent`` of the weight is kept.

    The interval is that of the weight kept, for as many items as the weights are worth [1].

    References
    ----------
    [1] Woodruff. Confidence Intervals for Medians and Other Position Measures. JASA 1952.

    Examples
    --------
    >>> weighted_ranks(np.array([50.0, 44.0, 1.0, 5.0]), 95)[0]
    3
    """
    kept, part = np.cumsum(weights), percent / 100
    rank = int(np.searchsorted(kept, part * kept[-1] * (1 - 1e-12)))
    spread = Z * sqrt(part * (1 - part) / worth(np.arange(len(weights)) <= rank, weights)) * kept[-1]
    lower, upper = (int(np.abs(kept - end).argmin()) for end in (kept[rank] - spread, kept[rank] + spread))
    return rank + 1, min(lower, rank) + 1, max(upper, rank) + 1


def share_at_rank(
    share: Callable[[int], tuple[float, float]], n: int, m: int, percent: float, weights: Weights | None = None
) -> Estimate:
    """The share of m items at the threshold that ``ranks`` picks among n, with its interval.

    ``share(rank)`` is that share and how many items it is worth. Two independent errors meet: the share at a given
    threshold (Wilson), and the threshold (its order statistics, n items). MOVER adds their deviations in squares. No
    interval where fewer than 5 effective weighted items are expected beyond the threshold.
    """
    rank, lower, upper = ranks(n, percent) if weights is None else weighted_ranks(weights, percent)
    value, items = share(rank)
    if weights is not None and weights.min() < weights.max() and effective(weights) * (1 - percent / 100) < BEYOND:
        return Estimate(value, n=m)
    low, high = wilson(value, items)
    sources = [(value - low, high - value), (value - share(lower)[0], share(upper)[0] - value)]
    return Estimate(value, *mover(value, sources), m)
