"""Correlations that hang on one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from outfield.stats.base import Result, paired
from outfield.stats.relate import Correlation, pearson, spearman
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

LARGE = 0.3
"""A change of a correlation that one row must not make."""
NOTABLE = 0.2
"""One that matters where the verdict changes with it."""


@dataclass(frozen=True, eq=False)
class Influence(Result):
    """A correlation with all rows, and without the row that changes it most.

    ``at`` is that row's place among the complete rows.

    Examples
    --------
    >>> x = np.append(np.arange(12.0) % 4, 40)
    >>> y = np.append(np.arange(12.0) % 3, 40)
    >>> found = influence(x, y, kind="pearson")
    >>> found.at, round(found.whole.estimate.value, 2), round(found.without.estimate.value, 2), found.decides
    (12, 0.99, 0.0, True)
    """

    at: int
    whole: Correlation
    without: Correlation

    @property
    def decides(self) -> bool:
        """Whether that row alone makes the correlation, or its verdict."""
        change = abs(self.whole.estimate.value - self.without.estimate.value)
        return change >= LARGE or (change >= NOTABLE and _verdict(self.whole) != _verdict(self.without))

    def frame(self) -> pl.DataFrame:
        """A row with all, a row without the one."""
        import polars as pl

        each = {"all": self.whole.estimate, "without one": self.without.estimate}
        return pl.DataFrame(
            [{"rows": k, "value": e.value, "low": e.low, "high": e.high, "n": e.n} for k, e in each.items()]
        )


def influence(x: Any, y: Any, *, kind: Literal["pearson", "spearman"] = "spearman") -> Influence:
    """The correlation of ``x`` and ``y``, and without the row that changes it most.

    Which row that is comes from the closed form of a correlation without one row, for Spearman on the ranks among all;
    both values then are exact.

    Raises
    ------
    UserError
        Fewer than five complete rows; a column that is constant, or is so without one row.

    Examples
    --------
    >>> found = influence([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])
    >>> found.whole.estimate.n, found.without.estimate.n
    (6, 5)
    """
    (a, b), _, notes = paired(x, y, least=5)
    correlate = pearson if kind == "pearson" else spearman
    ranked = (a, b) if kind == "pearson" else (stats.rankdata(a), stats.rankdata(b))
    change = np.abs(_without_each(*ranked) - np.corrcoef(*ranked)[0, 1])
    at = int(np.nanargmax(change))
    whole, without = correlate(a, b), correlate(np.delete(a, at), np.delete(b, at))
    return Influence(at, whole, without, level=whole.level, n_units=len(a), notes=notes)


def _without_each(a: Array, b: Array) -> Array:
    """Pearson without each row in turn: sums of squares and products lose ``n / (n - 1)`` of the row's own."""
    u, v, share = a - a.mean(), b - b.mean(), len(a) / (len(a) - 1)
    within_a, within_b = (u**2).sum() - share * u**2, (v**2).sum() - share * v**2
    with np.errstate(divide="ignore", invalid="ignore"):
        r = ((u * v).sum() - share * u * v) / np.sqrt(within_a * within_b)
    return np.asarray(np.where((within_a > 0) & (within_b > 0), r, np.nan))


def _verdict(found: Correlation) -> int:
    """1 or -1 where the interval leaves 0 out, else 0."""
    if found.estimate.low <= 0 <= found.estimate.high:
        return 0
    return int(np.sign(found.estimate.value))
