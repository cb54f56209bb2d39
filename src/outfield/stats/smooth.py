"""Smooths of one measure on another, and what they leave over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline, make_smoothing_spline
from scipy.optimize import minimize_scalar

from outfield.errors import UserError
from outfield.types import Array

Smoother: TypeAlias = Literal["linear", "rank", "cubic", "natural", "spline"]
SMOOTHERS: tuple[Smoother, ...] = ("linear", "rank", "cubic", "natural", "spline")
INNER_KNOTS = 3
"""Of a natural spline, between the ends: at quartiles."""
MOST_KNOTS = 1000
PENALTY = 1e-4
STEP = 0.1
ROUNDING = 1e-9
FACTORS = np.arange(-10, 6, STEP)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Fitted values [n], and the degrees of freedom that they took (the trace of the smoother).

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)
    >>> zigzag = np.tile([0.1, -0.1], 10)
    >>> round(spline(x, 3 * x + zigzag).freedom), round(spline(x, np.sin(9 * x)).freedom, 1)
    (2, 9.5)
    """

    values: Array
    freedom: float


def spline(x: Array, y: Array) -> Fitted:
    """Cubic smoothing spline of ``y`` on ``x``, penalty by generalised cross-validation.

    Ties in ``x`` (equal to a billionth of the range) are averaged first and weighted by their counts; of more than a
    thousand different values neighbours are averaged, as many in each of a thousand groups. The curve takes at most
    half as many degrees of freedom as there are knots (three where they are few).

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
    >>> bool(np.abs(spline(x, x**2).values - x**2).max() < 0.03)
    True
    """
    scaled = (x - x.min()) / (np.ptp(x) or 1.0)
    at, counts = _ties(scaled)
    knots, means = np.bincount(at, scaled) / counts, np.bincount(at, y) / counts
    resistances, vectors = _eigen(knots, counts)
    parts = vectors.T @ (np.sqrt(counts) * means)
    kept = 1 / (1 + _penalty(resistances, parts) * resistances)
    fitted = vectors @ (kept * parts) / np.sqrt(counts)
    return Fitted(np.asarray(np.interp(scaled, knots, fitted)), float(kept.sum()))


def _ties(scaled: Array) -> tuple[Array, Array]:
    """The distinct value, or group of them, that each item has, in rising order, and how many items have each."""
    values, at = np.unique(np.round(scaled, 9), return_inverse=True)
    if len(values) < 5:
        raise UserError(
            f"Expected at least five different values to smooth over, but got {len(values)}. "
            "Use the linear or rank partial correlation, or measure more units."
        )
    if len(values) > MOST_KNOTS:
        at = at * MOST_KNOTS // len(values)
    return at, np.bincount(at).astype(float)


def _eigen(knots: Array, counts: Array) -> tuple[Array, Array]:
    """How strongly a penalty of ``PENALTY`` an item resists each eigenvector, rising from 0 (twice), and these.

    Many measures are smoothed over one: the last answers are kept.
    """
    return _decomposed(knots.tobytes(), counts.tobytes())


@lru_cache(maxsize=32)
def _decomposed(at: bytes, many_each: bytes) -> tuple[Array, Array]:
    knots, counts = np.frombuffer(at), np.frombuffer(many_each)
    root, many = np.sqrt(counts), len(knots)
    smooth = make_smoothing_spline(knots, np.eye(many), w=counts, lam=PENALTY * counts.sum())(knots)
    matrix = root[:, None] * smooth / root
    kept, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    resistances = 1 / np.clip(kept[::-1], np.finfo(float).eps, 1) - 1
    resistances[:2] = 0
    return resistances, vectors[:, ::-1]


def _penalty(resistances: Array, parts: Array) -> float:
    """The factor of the penalty with the least generalised cross-validation error.

    Of those that leave half of the degrees of freedom: the error is flat, or falls, where the curve goes through every
    point, and in few points or autocorrelated ones its least value may lie there.
    """

    def lost(log_factor: Any) -> Array:
        return np.asarray(1 - 1 / (1 + np.multiply.outer(np.power(10.0, log_factor), resistances)))

    def error(log_factor: Any) -> Any:
        rest = lost(log_factor)
        return ((rest * parts) ** 2).sum(-1) / rest.mean(-1) ** 2

    allowed = FACTORS[lost(FACTORS).sum(-1) >= min(len(parts) / 2, len(parts) - 3)]
    best = allowed[np.argmin(error(allowed))]
    bounds = max(best - STEP, allowed[0]), best + STEP
    return float(10 ** minimize_scalar(error, bounds=bounds, method="bounded").x)


def cubic(x: Array, y: Array) -> Fitted:
    """The polynomial of third degree of least squares.

    Raises
    ------
    UserError
        Fewer than five distinct values of ``x``.

    Examples
    --------
    >>> x = np.linspace(0, 1, 9)
    >>> bool(np.allclose(cubic(x, x**3 - x).values, x**3 - x)), cubic(x, x).freedom
    (True, 4.0)
    """
    scaled = _scaled(x)
    return _regressed(np.polynomial.chebyshev.chebvander(2 * scaled - 1, 3), y)


def natural(x: Array, y: Array) -> Fitted:
    """Natural cubic spline of least squares: knots at the ends and the quartiles, straight beyond the ends.

    Its basis is that of cubic regression splines (``cr``) in patsy and in R's mgcv.

    Raises
    ------
    UserError
        Fewer than five distinct values of ``x``.

    References
    ----------
    Wood, Generalized Additive Models, 2nd edition, 2017, section 5.3.1.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)
    >>> natural(x, x).freedom, bool(np.abs(natural(x, np.sin(3 * x)).values - np.sin(3 * x)).max() < 0.02)
    (5.0, True)
    """
    return _regressed(natural_basis(x), y)


def natural_basis(x: Array) -> Array:
    """The basis [n, knots] of a natural cubic spline whose knots are the ends and the quartiles of distinct values.

    Examples
    --------
    >>> natural_basis(np.linspace(0, 1, 9)).shape
    (9, 5)
    """
    scaled = _scaled(x)
    knots = np.quantile(np.unique(scaled), np.linspace(0, 1, INNER_KNOTS + 2))
    return np.asarray(CubicSpline(knots, np.eye(len(knots)), bc_type="natural")(scaled))


def _scaled(x: Array) -> Array:
    """From 0 to 1, values that differ by a billionth of the range taken as one; at least five different ones."""
    scaled = np.round((x - x.min()) / (np.ptp(x) or 1.0), 9)
    _ties(scaled)
    return np.asarray(scaled)


def _regressed(basis: Array, y: Array) -> Fitted:
    columns, _ = np.linalg.qr(basis)
    return Fitted((y @ columns) @ columns.T, float(basis.shape[1]))


def straight(x: Array, y: Array) -> Array:
    """Fitted values of the least-squares line along the last axis of stacks [..., n].

    Examples
    --------
    >>> straight(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 0.0])).tolist()
    [1.0, 1.0, 1.0]
    """
    moved = x - x.mean(-1, keepdims=True)
    spread = (moved**2).sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (moved * y).sum(-1, keepdims=True) / spread
    return np.asarray(y.mean(-1, keepdims=True) + slope * moved)


CURVES: dict[str, Callable[[Array, Array], Fitted]] = {"cubic": cubic, "natural": natural, "spline": spline}


def residuals(y: Array, x: Array, smoother: Smoother) -> Array:
    """What a smooth of ``y`` on ``x`` leaves over; ``rank`` takes the line through ranks.

    Exactly 0 where it leaves no more than rounding errors.

    Examples
    --------
    >>> residuals(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 2.0]), "linear").round(3).tolist()
    [0.167, -0.333, 0.167]
    """
    return left_over(y, x, smoother)[0]


def left_over(y: Array, x: Array, smoother: Smoother) -> tuple[Array, float]:
    """Residuals, and the degrees of freedom that the smooth took beyond a constant.

    Examples
    --------
    >>> left_over(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 2.0]), "linear")[1]
    1.0
    """
    if smoother not in SMOOTHERS:
        raise UserError(f"Expected one of {', '.join(SMOOTHERS)}, but got {smoother!r}. Choose one of them.")
    if smoother == "rank":
        y, x = stats.rankdata(y, axis=-1), stats.rankdata(x, axis=-1)
    curve = CURVES.get(smoother)
    fitted = Fitted(straight(x, y), 2.0) if curve is None else curve(x, y)
    left = y - fitted.values
    rounding = np.abs(left).max(-1, keepdims=True) <= ROUNDING * np.abs(y - y.mean(-1, keepdims=True)).max(
        -1, keepdims=True
    )
    return np.where(rounding, 0.0, left), fitted.freedom - 1
