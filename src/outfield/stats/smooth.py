"""Smooths of one measure on another, and what they leave over."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from scipy import stats
from scipy.interpolate import make_smoothing_spline

from outfield.errors import UserError
from outfield.stats.base import Array

Smoother: TypeAlias = Literal["linear", "rank", "spline"]
SMOOTHERS: tuple[Smoother, ...] = ("linear", "rank", "spline")


def spline(x: Array, y: Array) -> Array:
    """Fitted values [n] of a cubic smoothing spline, penalty by generalised cross-validation.

    Ties in ``x`` (equal to a billionth of its range) are averaged first and weighted by their counts.

    Raises
    ------
    UserError
        Fewer than five distinct values of ``x``.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)
    >>> bool(np.abs(spline(x, x**2) - x**2).max() < 0.01)
    True
    """
    scaled = np.round((x - x.min()) / (np.ptp(x) or 1.0), 9)
    knots, at, counts = np.unique(scaled, return_inverse=True, return_counts=True)
    if len(knots) < 5:
        raise UserError(
            f"Expected at least five different values to smooth over, but got {len(knots)}. "
            "Use the linear or rank partial correlation, or measure more units."
        )
    means = np.bincount(at, y) / counts
    return np.asarray(make_smoothing_spline(knots, means, w=counts.astype(float))(scaled))


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
