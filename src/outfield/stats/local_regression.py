"""Cleveland's robust local regression (LOWESS) of many resamples at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outfield.types import Array

MOST_GROUPS = 400
"""Neighbours share the kernel's weight where there are more points."""
ROBUST = 6
"""Points this many median absolute residuals off have no weight."""
MOST_FITS = 60
"""Points of x at which residuals are found exactly; between them their curve is straight."""
EDGE = 0.999
"""Points further out in a window have no weight: rounding alone would give them one."""
FLAT = 1e-12
"""Least variance of x in a window, of which the range is 1."""
ROUNDING = 1e-9
"""Residuals of this part of the range of y are none."""


def lowess_curves(x: Array, y: Array, rows: Array, grid: Array, share: float = 2 / 3) -> Array:
    """LOWESS curves [draws, points] of y on x at the points of ``grid``, one for each resample.

    A line is fitted about each point of the grid to the nearest ``share`` of the resample, weighted by the tricube of
    the distance. Residuals give each point the bisquare weight of six median absolute ones; then the lines are fitted
    again. A point that was drawn twice counts twice. Residuals are from the curve at sixty of the points, straight
    between them; of more than four hundred, groups of neighbours share the tricube weight of their mean. With fewer
    points all is exact. The curve is not known where no point of a window has weight.

    Parameters
    ----------
    x, y : vectors [n]
    rows : indices [draws, n] of the points of each resample
    grid : rising vector [points] that spans x
    share : of the points that each line is fitted to

    References
    ----------
    Cleveland, Robust locally weighted regression and smoothing scatterplots, JASA 1979.

    Examples
    --------
    >>> x = np.arange(10.0)
    >>> lowess_curves(x, 3 * x + 1, np.arange(10)[None], np.array([0.0, 4.5, 9.0])).round(6).tolist()
    [[1.0, 14.5, 28.0]]
    """
    order = np.argsort(x, kind="stable")
    low, span = grid[0], grid[-1] - grid[0]
    scaled, values, at = (x[order] - low) / span, y[order], (grid - low) / span
    drawn = np.sort(np.argsort(order)[rows], axis=1)
    counts, sample = _counts(drawn, len(x)), scaled[drawn]
    points = _fitted_points(np.unique(scaled))
    first = _Windows.of(scaled, points, _radii(sample, points, share)).fit(scaled, values, counts)
    weights = counts * _bisquare(_residuals(values, _along(first, points, scaled)), drawn)
    return _Windows.of(scaled, at, _radii(sample, at, share)).fit(scaled, values, weights)


def _counts(drawn: Array, n: int) -> Array:
    """How often each of ``n`` points was drawn [draws, n]."""
    shifted = drawn + n * np.arange(len(drawn))[:, None]
    return np.bincount(shifted.ravel(), minlength=n * len(drawn)).reshape(len(drawn), n).astype(float)


def _fitted_points(distinct: Array) -> Array:
    """At most ``MOST_FITS`` of them: two in three at quantiles, the others spread evenly."""
    if len(distinct) <= MOST_FITS:
        return distinct
    quantiles = np.linspace(0, len(distinct) - 1, MOST_FITS * 2 // 3).round().astype(int)
    even = np.searchsorted(distinct, np.linspace(0, 1, MOST_FITS // 3 + 1)[1:-1])
    return np.asarray(distinct[np.union1d(quantiles, even)])


def _radii(sorted_x: Array, at: Array, share: float) -> Array:
    """Distance of each point of the grid to the furthest of its nearest neighbours [points, draws]."""
    n = sorted_x.shape[1]
    near = min(max(int(share * n + 1e-10), 2), n)
    left, right = sorted_x[:, : n - near + 1], sorted_x[:, near - 1 :]
    return np.stack([np.maximum(point - left, right - point).min(axis=1) for point in at])


@dataclass(frozen=True, eq=False)
class _Windows:
    """Tricube weights about each point of a grid: of groups of neighbours, whose first points ``starts`` holds."""

    at: Array
    radii: Array
    starts: Array
    middles: Array

    @staticmethod
    def of(x: Array, at: Array, radii: Array) -> _Windows:
        starts = _groups(x)
        return _Windows(at, radii, starts, np.add.reduceat(x, starts) / np.diff(starts, append=len(x)))

    def fit(self, x: Array, y: Array, weights: Array) -> Array:
        """Values of the weighted lines at the points of the grid [draws, points]."""
        powers = np.stack([np.ones_like(x), x, x**2, y, x * y])
        sums = np.stack([np.add.reduceat(weights * power, self.starts, axis=1) for power in powers], axis=1)
        return np.stack(
            [_line(self._inside(sums, i), point) for i, point in enumerate(self.at)], axis=1
        )  # fmt: skip

    def _inside(self, sums: Array, i: int) -> Array:
        distance = np.abs(self.middles - self.at[i])
        part = _part(distance, self.radii[i][:, None])
        tricube = np.where(part < EDGE, (1 - part**3) ** 3, 0.0)
        return np.asarray((sums @ tricube[:, :, None])[:, :, 0])


def _groups(x: Array) -> Array:
    """Where each group of neighbours begins: cut at quantiles and at even steps, for few are to lie far apart."""
    n, half = len(x), MOST_GROUPS // 2
    if n <= MOST_GROUPS:
        return np.arange(n)
    return np.union1d(np.arange(half) * n // half, np.searchsorted(x, np.linspace(0, 1, half, endpoint=False)))


def _part(amount: Array, whole: Array) -> Array:
    """Of the whole, 1 at most; nothing is no part of nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(np.nan_to_num(amount / whole, nan=0.0), 1.0)


def _line(sums: Array, point: float) -> Array:
    """The line at a point, from weighted sums [draws, 5] of 1, x, x^2, y and xy; not known without weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x, square, y, product = sums[:, 1:].T / sums[:, 0]
    slope = (product - x * y) / np.maximum(square - x**2, FLAT)
    return np.asarray(y + slope * (point - x))


def _along(curves: Array, at: Array, x: Array) -> Array:
    """Curves [draws, points] between the points of a grid."""
    right = np.clip(np.searchsorted(at, x), 1, len(at) - 1)
    part = (x - at[right - 1]) / (at[right] - at[right - 1])
    return np.asarray(curves[:, right - 1] * (1 - part) + curves[:, right] * part)


def _residuals(y: Array, curves: Array) -> Array:
    """How far y is from each curve; 0 where it is no further than rounding."""
    found = np.abs(y - curves)
    return np.where(found <= ROUNDING * np.ptp(y), 0.0, found)


def _bisquare(residuals: Array, drawn: Array) -> Array:
    """Weights of absolute residuals by how many medians of those that were drawn they are."""
    middle = np.nanmedian(np.take_along_axis(residuals, drawn, axis=1), axis=1, keepdims=True)
    return np.asarray((1 - _part(residuals, ROBUST * middle) ** 2) ** 2)
