"""Smooths of one measure on another, and what they leave over."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats
from scipy.interpolate import make_smoothing_spline
from scipy.optimize import minimize_scalar

from outfield.errors import UserError
from outfield.stats.base import Array

Smoother: TypeAlias = Literal["linear", "rank", "spline"]
SMOOTHERS: tuple[Smoother, ...] = ("linear", "rank", "spline")
MOST_KNOTS = 1001
PENALTY = 1e-4
STEP = 0.1
FACTORS = np.arange(-10, 6, STEP)


def spline(x: Array, y: Array) -> Array:
    """Fitted values [n] of a cubic smoothing spline, penalty by generalised cross-validation.

    Ties in ``x`` are averaged first and weighted by their counts: values equal to a billionth of the range,
    or to a thousandth of it where more than a thousand differ.

    SciPy smooths; the penalty is sought here, over its logarithm. All splines through the same knots share
    their eigenvectors: the one of penalty *r lambda* keeps the share *1 / (1 + r e)* of each, where that of
    *lambda* keeps *1 / (1 + e)*. SciPy's own search takes equal steps of the penalty itself, so what it finds
    depends on the unit of ``x`` and on the last digits of the processor.

    Raises
    ------
    UserError
        Fewer than five distinct values of ``x``.

    References
    ----------
    Craven and Wahba (1979), Smoothing noisy data with spline functions. Demmler and Reinsch (1975),
    Oscillation matrices with spline smoothing.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)
    >>> bool(np.abs(spline(x, x**2) - x**2).max() < 1e-6)
    True
    """
    scaled = (x - x.min()) / (np.ptp(x) or 1.0)
    at, counts = _ties(scaled)
    knots, means = np.bincount(at, scaled) / counts, np.bincount(at, y) / counts
    resistances, vectors = _eigen(knots, counts)
    parts = vectors.T @ (np.sqrt(counts) * means)
    kept = 1 / (1 + _penalty(resistances, parts) * resistances)
    fitted = vectors @ (kept * parts) / np.sqrt(counts)
    return np.asarray(np.interp(scaled, knots, fitted))


def _ties(scaled: Array) -> tuple[Array, Array]:
    """The distinct value that each item has, by number in rising order, and how many items have each."""
    for decimals in (9, 3):
        knots, at, counts = np.unique(np.round(scaled, decimals), return_inverse=True, return_counts=True)
        if len(knots) <= MOST_KNOTS:
            break
    if len(knots) < 5:
        raise UserError(
            f"Expected at least five different values to smooth over, but got {len(knots)}. "
            "Use the linear or rank partial correlation, or measure more units."
        )
    return at, counts.astype(float)


def _eigen(knots: Array, counts: Array) -> tuple[Array, Array]:
    """How strongly a penalty of ``PENALTY`` an item resists each eigenvector, rising from 0 (twice), and these."""
    root, many = np.sqrt(counts), len(knots)
    smooth = make_smoothing_spline(knots, np.eye(many), w=counts, lam=PENALTY * counts.sum())(knots)
    matrix = root[:, None] * smooth / root
    kept, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    resistances = 1 / np.clip(kept[::-1], np.finfo(float).eps, 1) - 1
    resistances[:2] = 0
    return resistances, vectors[:, ::-1]


def _penalty(resistances: Array, parts: Array) -> float:
    """The factor of the penalty with the least generalised cross-validation error."""

    def error(log_factor: Any) -> Any:
        lost = 1 - 1 / (1 + np.multiply.outer(np.power(10.0, log_factor), resistances))
        return ((lost * parts) ** 2).sum(-1) / lost.mean(-1) ** 2

    best = FACTORS[np.argmin(error(FACTORS))]
    return float(10 ** minimize_scalar(error, bounds=(best - STEP, best + STEP), method="bounded").x)


def straight(x: Array, y: Array) -> Array:
    """Fitted values of the least-squares line along the last axis of stacks [..., n]."""
    moved = x - x.mean(-1, keepdims=True)
    spread = (moved**2).sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (moved * y).sum(-1, keepdims=True) / spread
    return np.asarray(y.mean(-1, keepdims=True) + slope * moved)


def residuals(y: Array, x: Array, smoother: Smoother) -> Array:
    """What a smooth of ``y`` on ``x`` leaves over; ``rank`` takes the line through ranks.

    Examples
    --------
    >>> residuals(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 2.0]), "linear").round(3).tolist()
    [0.167, -0.333, 0.167]
    """
    if smoother == "spline":
        return y - spline(x, y)
    if smoother not in SMOOTHERS:
        raise UserError(f"Expected one of {', '.join(SMOOTHERS)}, but got {smoother!r}. Choose one of them.")
    if smoother == "rank":
        y, x = stats.rankdata(y, axis=-1), stats.rankdata(x, axis=-1)
    return np.asarray(y - straight(x, y))
