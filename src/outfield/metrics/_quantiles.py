"""Shares beyond a threshold that is itself an order statistic of the other sample."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt

from outfield.metrics._intervals import Z, mover, wilson
from outfield.types import Estimate


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


def share_at_rank(share: Callable[[int], float], n: int, m: int, percent: float) -> Estimate:
    """``share(rank)`` of m items at the threshold that ``ranks`` picks among n, with its interval.

    Two independent errors meet: the share at a given threshold (Wilson, m items), and the threshold (its order
    statistics, n items). MOVER adds their deviations in squares.
    """
    rank, lower, upper = ranks(n, percent)
    value = share(rank)
    low, high = wilson(value, m)
    sources = [(value - low, high - value), (value - share(lower), share(upper) - value)]
    return Estimate(value, *mover(value, sources), m)
