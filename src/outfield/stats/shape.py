"""Is a relation monotonic? Quadratic with end slopes, two lines, a break given in advance, and a smooth with a band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import special

from outfield.errors import UserError
from outfield.stats.base import Level, Result, paired
from outfield.stats.least_squares import LeastSquares, least_squares
from outfield.stats.local_regression import lowess_curves
from outfield.stats.smooth import natural_basis
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

LEAST_SMOOTHED = 8
"""Units that a smooth takes at least."""
Shape = TypeVar("Shape", bound="_Shape")

STRAIGHT = 1e-9
"""How far from a straight line, as a share of the range of y, rounding alone takes points."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shape(Result):
    """What the tests of shape share: the data, and the same test without each category."""

    x: Array
    y: Array
    without: dict[str, Any] = field(default_factory=dict)

    def _row(self) -> dict[str, Any]:
        return dict(self._cells())

    def frame(self) -> pl.DataFrame:
        """One row for all units, then one without each category."""
        import polars as pl

        rows = [{"left_out": "none", **self._row()}]
        rows += [{"left_out": name, **found._row()} for name, found in self.without.items()]
        return pl.DataFrame(rows)

    def _curve(self) -> Array | None:
        return None

    def plot(self) -> alt.TopLevelMixin:
        """The units and the fit."""
        from outfield.stats import _plots

        return _plots.scatter(self.x, self.y, curve=self._curve(), title=type(self).__name__)


def _each_left_out(
    found: Shape, test: Callable[..., Shape], x: Array, y: Array, families: Any, **options: Any
) -> Shape:
    """``found`` with the same test without each family; families whose absence leaves too few units are noted."""
    if families is None:
        return found
    labels = np.asarray([str(each) for each in families])
    if len(labels) != len(x):
        raise UserError(f"Expected a family for each of {len(x)} rows, but got {len(labels)}. Pass one per row.")
    without, skipped = {}, []
    for name in dict.fromkeys(labels.tolist()):
        try:
            without[name] = test(x[labels != name], y[labels != name], **options)
        except UserError:
            skipped.append(name)
    notes = (f"Too few units without {', '.join(skipped)}.",) if skipped else ()
    return replace(found, without=without, notes=(*found.notes, *notes))


@dataclass(frozen=True, eq=False)
class LindMehlum(_Shape):
    """Quadratic fit with HC3 errors; slopes at both ends; ``p`` of a U (or inverse U), the larger one-sided p.

    ``shape`` is U or inverse U, the sign of the quadratic term; ``turn`` its extreme point with Fieller's interval.

    Examples
    --------
    >>> found = lind_mehlum(range(9), [-((x - 4) ** 2) + x % 2 for x in range(9)])
    >>> found.shape, round(found.turn.value), found.slope_low.value > 0 > found.slope_high.value
    ('inverse U', 4, True)
    """

    shape: str
    p: float
    quadratic: Estimate
    slope_low: Estimate
    slope_high: Estimate
    turn: Estimate
    coefficients: Array

    def _curve(self) -> Array | None:
        grid = np.linspace(self.x.min(), self.x.max(), 60)
        moved = grid - self.x.mean()
        return np.stack([grid, self.coefficients @ np.stack([np.ones_like(moved), moved, moved**2])], axis=1)


def lind_mehlum(x: Any, y: Any, *, families: Any = None, level: Level = "model") -> LindMehlum:
    """Lind and Mehlum's test of a (inverse) U: the slopes of a quadratic at both ends differ in sign [1].

    ``y = a + b x + c x^2`` with HC3 errors; the test rejects when the slope ``b + 2 c x`` is significant at the
    smallest and, with the other sign, at the largest x. A significant c alone shows no U.

    Parameters
    ----------
    x, y : vectors [n]
    families : vector [n], optional: repeat without each

    Raises
    ------
    UserError
        Fewer than eight units, fewer than three values of x, a constant column.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 30)
    >>> found = lind_mehlum(x, x**2 + np.sin(99 * x) / 10)
    >>> found.shape, found.p < 0.001, abs(round(found.turn.value, 1))
    ('U', True, 0.0)

    References
    ----------
    [1] Lind, Mehlum, With or without U?, Oxford Bulletin of Economics and Statistics 2010.
    """
    (u, v), keep, notes = paired(x, y, least=8)
    if len(np.unique(u)) < 3:
        raise UserError("Expected at least three different values of x for a quadratic. Use a comparison of groups.")
    if np.ptp(v - np.polyval(np.polyfit(u, v, 1), u)) <= STRAIGHT * np.ptp(v):
        raise UserError("Expected points off a straight line for a quadratic, but y is one of x: it is monotonic.")
    fit, centre = _quadratic(u, v), u.mean()
    n, low, high = len(u), u.min() - centre, u.max() - centre
    slopes = [_linear(fit, np.array([0.0, 1.0, 2 * at]), n) for at in (low, high)]
    curve = _linear(fit, np.array([0.0, 0.0, 1.0]), n)
    shape = "U" if curve.value > 0 else "inverse U"
    turn = _fieller(fit, n)
    turn = Estimate(float(turn.value + centre), float(turn.low + centre), float(turn.high + centre), n=n)
    found = LindMehlum(
        shape, _u_test(fit, low, high, n), curve, slopes[0], slopes[1], turn, fit.params,
        x=u, y=v, level=level, n_units=n, notes=notes,
    )  # fmt: skip
    kept = None if families is None else np.asarray(families)[keep]
    return _each_left_out(found, lind_mehlum, u, v, kept, level=level)


def _quadratic(x: Array, y: Array) -> LeastSquares:
    moved = x - x.mean()
    return least_squares(np.stack([np.ones_like(moved), moved, moved**2], axis=1), y)


def _linear(fit: LeastSquares, weights: Array, n: int) -> Estimate:
    value, error = float(weights @ fit.params), float(np.sqrt(weights @ fit.robust @ weights))
    half = special.stdtrit(n - len(weights), 0.975) * error
    return Estimate(value, value - half, value + half, n=n)


def _u_test(fit: LeastSquares, low: float, high: float, n: int) -> float:
    sign = 1.0 if fit.params[2] > 0 else -1.0
    ps = []
    for at, wanted in ((low, -sign), (high, sign)):
        weights = np.array([0.0, 1.0, 2 * at])
        t = wanted * (weights @ fit.params) / np.sqrt(weights @ fit.robust @ weights)
        ps.append(float(special.stdtr(n - 3, -t)))
    return max(ps)


def _fieller(fit: LeastSquares, n: int) -> Estimate:
    """Interval of ``-b / (2 c)``; unbounded when c is not clearly away from 0."""
    b, c = float(fit.params[1]), float(fit.params[2])
    cov = fit.robust
    t2 = special.stdtrit(n - 3, 0.975) ** 2
    square, linear, rest = c**2 - t2 * cov[2, 2], b * c - t2 * cov[1, 2], b**2 - t2 * cov[1, 1]
    value = -b / (2 * c)
    inner = linear**2 - square * rest
    if square <= 0 or inner < 0:
        return Estimate(value, -np.inf, np.inf, n=n)
    ends = sorted((-linear + sign * np.sqrt(inner)) / (2 * square) for sign in (-1, 1))
    return Estimate(value, float(ends[0]), float(ends[1]), n=n)


@dataclass(frozen=True, eq=False)
class Interrupted(_Shape):
    """Slopes below and above a break given in advance, and the jump there; HC3 errors.

    Examples
    --------
    >>> found = interrupted(range(8), [0, 1, 2, 3.1, 13, 12, 11, 10.1], at=3)
    >>> round(found.below.value), round(found.above.value), round(found.jump.value)
    (1, -1, 11)
    """

    at: float
    below: Estimate
    above: Estimate
    jump: Estimate
    p_below: float
    p_above: float
    n_below: int

    def _curve(self) -> Array | None:
        left, right = self.x[self.x <= self.at], self.x[self.x > self.at]
        base = float(np.mean(self.y[self.x <= self.at])) - self.below.value * float(left.mean())
        top = float(np.mean(self.y[self.x > self.at])) - self.above.value * float(right.mean())
        first = [(a, base + self.below.value * a) for a in (left.min(), left.max())]
        return np.array([*first, *((a, top + self.above.value * a) for a in (right.min(), right.max()))])


def interrupted(x: Any, y: Any, at: float, *, families: Any = None, level: Level = "model") -> Interrupted:
    """Interrupted regression: a line up to ``at`` and another above it, with HC3 errors.

    The break must be given in advance (a baseline's accuracy, say): a break chosen on the same data makes p too small.

    Parameters
    ----------
    x, y : vectors [n]
    at : the break; units at it belong below

    Raises
    ------
    UserError
        Fewer than four units, or one value of x alone, on a side.

    Examples
    --------
    >>> x = np.linspace(0, 2, 40)
    >>> found = interrupted(x, np.where(x <= 1, x, 2 - x) + np.sin(99 * x) / 50, at=1.0)
    >>> round(found.below.value, 1), round(found.above.value, 1), found.n_below
    (1.0, -1.0, 20)
    """
    (u, v), keep, notes = paired(x, y, least=8)
    low = u <= at
    for side, part in (("at or below", u[low]), ("above", u[~low])):
        if len(part) < 4 or len(np.unique(part)) < 2:
            raise UserError(f"Expected at least four units {side} {at:g}, but got {len(part)}. Choose another break.")
    fit = _two_slopes(u, v, at, low)
    n = len(u)
    p_below, p_above = 2 * special.stdtr(n - 4, -np.abs(fit.t[1:3]))
    each = [_linear(fit, np.eye(4)[i], n) for i in (1, 2, 3)]
    found = Interrupted(
        float(at), each[0], each[1], each[2], float(p_below), float(p_above), int(low.sum()),
        x=u, y=v, level=level, n_units=n, notes=notes,
    )  # fmt: skip
    kept = None if families is None else np.asarray(families)[keep]
    return _each_left_out(found, interrupted, u, v, kept, at=at, level=level)


def _two_slopes(x: Array, y: Array, at: float, low: Array) -> LeastSquares:
    design = np.stack(
        [np.ones_like(x), np.where(low, x - at, 0), np.where(low, 0, x - at), (~low).astype(float)], axis=1
    )
    return least_squares(design, y)


@dataclass(frozen=True, eq=False)
class TwoLines(_Shape):
    """Simonsohn's two lines: slopes on both sides of a data-chosen break, and whether they make a U.

    Examples
    --------
    >>> found = two_lines(range(12), [abs(x - 5) + x % 2 / 9 for x in range(12)])
    >>> found.shape, round(found.below.value), round(found.above.value)
    ('U', -1, 1)
    """

    shape: str
    at: float
    below: Estimate
    above: Estimate
    p_below: float
    p_above: float
    p: float

    _curve = Interrupted._curve


def two_lines(x: Any, y: Any, *, families: Any = None, level: Level = "model") -> TwoLines:
    """Two-lines test of a (inverse) U: slopes of opposite sign, both significant, about a break set by the data [1].

    The break is set by the Robin Hood procedure: the flat region about the extreme of a smooth fit (within one standard
    error of it), then the point of it that favours the weaker of the two lines. ``p`` is the larger of the two when
    signs differ, else 1; ``shape`` is U, inverse U, or monotonic.

    Parameters and errors as in :func:`lind_mehlum`.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 40)
    >>> two_lines(x, -(x**2) + np.sin(99 * x) / 10).shape
    'inverse U'

    References
    ----------
    [1] Simonsohn, Two lines: a valid alternative to the invalid testing of U-shaped relationships with quadratic
    regressions, Advances in Methods and Practices in Psychological Science 2018.
    """
    (u, v), keep, notes = paired(x, y, least=8)
    if len(np.unique(u)) < 8:
        raise UserError(f"Expected at least eight different values of x, but got {len(np.unique(u))}. Add units.")
    at = _robin_hood(u, v)
    found = interrupted(u, v, at, level=level)
    opposite = found.below.value * found.above.value < 0
    p = max(found.p_below, found.p_above) if opposite else 1.0
    bent = "inverse U" if found.below.value > 0 else "U"
    shape = bent if p < 0.05 else "unclear"
    lines = TwoLines(
        shape, at, found.below, found.above, found.p_below, found.p_above, p,
        x=u, y=v, level=level, n_units=len(u), notes=(*notes, "The break was chosen on these data."),
    )  # fmt: skip
    kept = None if families is None else np.asarray(families)[keep]
    return _each_left_out(lines, two_lines, u, v, kept, level=level)


def _robin_hood(x: Array, y: Array) -> float:
    order = np.argsort(x, kind="stable")
    u, v = x[order], y[order]
    smooth, error = _local_smooth(u, v)
    inner = slice(3, len(u) - 4)
    sign = 1.0 if _quadratic(u, v).params[2] < 0 else -1.0
    peak = inner.start + int(np.argmax(sign * smooth[inner]))
    flat = sign * smooth >= sign * smooth[peak] - error[peak]
    flat[: inner.start] = flat[inner.stop :] = False
    region = u[flat]
    middle = _allowed(u, float(np.median(region)))
    fit = _two_slopes(u, v, middle, u <= middle)
    z = np.abs(fit.t[1:3])
    return _allowed(u, float(np.quantile(region, z[1] / z.sum())))


def _allowed(x: Array, at: float) -> float:
    """The break moved so that four units, of two values at least, lie on either side; x rises, with ties."""
    values = np.unique(x)
    below, place = np.searchsorted(x, values, side="right"), np.arange(len(values))
    enough = (np.minimum(below, len(x) - below) >= 4) & (place >= 1) & (place <= len(values) - 3)
    if not enough.any():
        raise UserError("Expected a break with four units of two values on each side, but ties allow none. Add units.")
    return float(np.clip(at, values[enough][0], values[enough][-1]))


def _local_smooth(x: Array, y: Array) -> tuple[Array, Array]:
    """Natural cubic spline on x (knots at the ends and quartiles) and the standard error of its fit."""
    fit = least_squares(natural_basis(x), y)
    return y - fit.residuals, fit.fit_errors


@dataclass(frozen=True, eq=False)
class Smooth(_Shape):
    """A LOWESS curve on a grid with a pointwise bootstrap band.

    Examples
    --------
    >>> found = lowess(np.arange(10.0), 2 * np.arange(10.0), draws=20)
    >>> len(found.grid), bool(np.allclose(found.value, 2 * found.grid))
    (60, True)
    """

    grid: Array
    value: Array
    low: Array
    high: Array
    names: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        import polars as pl

        parts = [("none", self), *self.without.items()]
        columns = ("grid", "value", "low", "high")
        frames = [pl.DataFrame({c: getattr(s, c) for c in columns}).with_columns(left_out=pl.lit(k)) for k, s in parts]
        return pl.concat(frames)

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        curve, band = np.stack([self.grid, self.value], 1), np.stack([self.grid, self.low, self.high], 1)
        return _plots.scatter(self.x, self.y, self.names, curve=curve, band=band)


def lowess(
    x: Any, y: Any, *, share: float = 2 / 3, points: int = 60, draws: int = 500, seed: int = 0, families: Any = None,
    names: Any = (), level: Level = "model",
) -> Smooth:  # fmt: skip
    """LOWESS of y on x with a pointwise 95% band from resampled units: a picture, not a test.

    Raises
    ------
    UserError
        Fewer than eight units, or a constant column.

    Examples
    --------
    >>> x = np.linspace(0, 1, 30)
    >>> found = lowess(x, x**2, draws=20)
    >>> found.frame().height, bool(np.abs(found.value - found.grid**2).max() < 0.1)
    (60, True)
    """
    (u, v), keep, notes = paired(x, y, least=LEAST_SMOOTHED)
    grid = np.linspace(u.min(), u.max(), points)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(u), size=(draws, len(u)))
    drawn = lowess_curves(u, v, rows, grid, share)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    labels = tuple(np.asarray(names)[keep].tolist()) if len(names) else ()
    value = lowess_curves(u, v, np.arange(len(u))[None], grid, share)[0]
    found = Smooth(grid, value, low, high, labels, x=u, y=v, level=level, n_units=len(u), notes=notes)
    kept = None if families is None else np.asarray(families)[keep]
    options = {"share": share, "points": points, "draws": draws, "seed": seed, "level": level}
    return _each_left_out(found, lowess, u, v, kept, **options)
