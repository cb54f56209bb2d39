"""Rows whose two measures do not fit together: out of line with all others, whichever measure is taken as known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special, stats

from outfield.errors import UserError
from outfield.stats.base import Result, paired
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

LEAST = 20
DOUBTFUL = 3.0
"""Robust standard deviations from which a row is doubtful: 1 in 370 rows at random, and both ways fewer."""
EDGE = 1e-3
BIWEIGHT = 4.685
"""Standard deviations from which a row has no weight: the line is then 95% as efficient as least squares."""
MOST_TURNS = 50
STILL = 1e-9
"""Part of the range that is no more than rounding."""
EFFICIENCY = 0.37
"""Of the median absolute deviation at the normal distribution: it knows a spread as well as .37 n rows do otherwise."""


@dataclass(frozen=True, eq=False)
class OutOfLine(Result):
    """How far each row lies from the line of all rows, with either measure given.

    Parameters
    ----------
    first, second : vectors [n]
        Residuals of x given y, and of y given x, in robust standard deviations of all residuals.
    expected_x, expected_y : vectors [n]
        What the other measure lets expect, on the measure's own scale.
    cut : float
        Residual that one of n rows exceeds by chance with probability ``1 - confidence``.

    Examples
    --------
    >>> x = np.linspace(0.6, 0.9, 30)
    >>> y = x + 0.01 * np.sin(9 * np.arange(30))
    >>> y[4] = 0.9
    >>> found = out_of_line(x, y)
    >>> found.rows.tolist(), found.doubtful.tolist(), round(float(found.expected_y[4]), 2)
    ([4], [], 0.64)
    """

    first: Array
    second: Array
    expected_x: Array
    expected_y: Array
    cut: float

    @property
    def distance(self) -> Array:
        """The smaller of both residuals where they point apart, 0 where they do not: [n]."""
        apart = np.sign(self.first) == -np.sign(self.second)
        return np.asarray(np.where(apart, np.minimum(abs(self.first), abs(self.second)), 0.0))

    @property
    def rows(self) -> Array:
        """Places of the rows out of line, the furthest first."""
        return self._beyond(self.cut, np.inf)

    @property
    def doubtful(self) -> Array:
        """Places of the rows that would be out of line, had one not looked at so many; the furthest first."""
        return self._beyond(DOUBTFUL, self.cut)

    def _beyond(self, low: float, high: float) -> Array:
        at = np.flatnonzero((self.distance > low) & (self.distance <= high))
        return at[np.argsort(-self.distance[at], kind="stable")]

    def frame(self) -> pl.DataFrame:
        """A row a row of the table: both residuals and what was expected."""
        import polars as pl

        names = ("first", "second", "expected_x", "expected_y", "distance")
        return pl.DataFrame({name: getattr(self, name) for name in names})


def out_of_line(x: Any, y: Any, *, confidence: float = 0.95) -> OutOfLine:
    """Rows whose measures ``x`` and ``y`` do not fit together, if all others do.

    Shares are taken on the logit scale, since AUROCs and accuracies crowd at their ends. A line is fitted robustly
    (Tukey's biweight [1], scale by the median absolute deviation) to y given x and to x given y. A row is out of line
    where both residuals exceed the cut and point apart: neither measure is what the other lets expect. One direction
    alone would accuse every row that is extreme in both. The cut is Student's t at ``(1 - confidence) / (2 n)``,
    Bonferroni's correction for having looked at all n rows, with .37 n degrees of freedom for the scale's own error.

    Parameters
    ----------
    x, y : vectors [n], n >= 20

    Raises
    ------
    UserError
        Fewer than 20 rows, a constant column, or a line that more than half of the rows lie on exactly.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=50)
    >>> out_of_line(x, x + rng.normal(size=50)).rows.tolist()
    []

    References
    ----------
    [1] Beaton and Tukey, The Fitting of Power Series, Technometrics 16, 1974.
    """
    (a, b), keep, notes = paired(x, y, least=LEAST)
    to, back = _scale(a, b)
    u, v = to(a), to(b)
    (first, at_x), (second, at_y) = _residuals(u, v), _residuals(v, u)
    cut = float(stats.t.isf((1 - confidence) / (2 * len(a)), EFFICIENCY * len(a)))
    first, second, at_x, at_y = (_spread(values, keep) for values in (first, second, back(at_x), back(at_y)))
    return OutOfLine(
        first, second, at_x, at_y, cut, n_units=len(a), correction=f"Bonferroni over {len(a)} rows", notes=notes
    )


def _scale(*columns: Array) -> tuple[Any, Any]:
    if all(((column >= 0) & (column <= 1)).all() for column in columns):
        return lambda share: special.logit(np.clip(share, EDGE, 1 - EDGE)), special.expit
    return np.asarray, np.asarray


def _residuals(y: Array, x: Array) -> tuple[Array, Array]:
    """Residuals of y given x in robust standard deviations, and the line's values."""
    residuals, scale = _biweight_line(y, x)
    if not np.isfinite(scale) or scale <= np.ptp(y) * STILL:
        raise UserError("Expected rows that scatter about their line, but more than half of them lie on it exactly.")
    return residuals / scale, y - residuals


def _biweight_line(y: Array, x: Array) -> tuple[Array, float]:
    """Residuals from the line of Tukey's biweight, and their scale; weights and line in turn, from least squares."""
    residuals, still = _left_of_line(y, x, np.ones_like(y)), np.ptp(y) * STILL
    for _ in range(MOST_TURNS):
        if (scale := _deviation(residuals)) <= still:
            break
        weights = np.clip(1 - (residuals / (BIWEIGHT * scale)) ** 2, 0, None) ** 2
        residuals, last = _left_of_line(y, x, weights), residuals
        if np.abs(residuals - last).max() <= still:
            break
    return residuals, _deviation(residuals)


def _deviation(residuals: Array) -> float:
    """The median absolute residual, as the standard deviation of a normal distribution that has it."""
    return float(np.median(np.abs(residuals)) / stats.norm.ppf(0.75))


def _left_of_line(y: Array, x: Array, weights: Array) -> Array:
    u, v = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    spread = (weights * u**2).sum()
    return np.asarray(v - (weights * u * v).sum() / spread * u if spread > 0 else v)


def _spread(values: Array, keep: Array) -> Array:
    """Values at the places of the complete rows, NaN elsewhere."""
    whole = np.full(len(keep), np.nan)
    whole[keep] = values
    return whole
