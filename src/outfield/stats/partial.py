"""Do two OOD measures go together once the ID measure is known? Partial correlations and their tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Array, Level, Result, paired
from outfield.stats.relate import correlations
from outfield.stats.smooth import SMOOTHERS, Smoother, left_over, residuals
from outfield.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

LEAST_STEPS = 60
TOO_FEW_ITEMS = 200


@dataclass(frozen=True, eq=False)
class PartialCorrelation(Result):
    """Correlation of two measures given a third, by every smoother, beside the plain one.

    ``estimates`` maps plain, linear, rank and spline to estimates; ``p`` likewise (two-sided).
    """

    estimates: dict[str, Estimate]
    p: dict[str, float]
    residuals: dict[str, tuple[Array, Array]]
    names: tuple[str, ...] = ()

    @property
    def sign_differs(self) -> bool:
        """Whether the smoothers disagree about the sign, by at least .1."""
        values = [estimate.value for kind, estimate in self.estimates.items() if kind != "plain"]
        return min(values) < 0 < max(values) and max(values) - min(values) >= 0.1

    def frame(self) -> pl.DataFrame:
        import polars as pl

        rows = [
            {
                "kind": kind,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "p": self.p.get(kind, float("nan")),
                "n": e.n,
            }
            for kind, e in self.estimates.items()
        ]
        return pl.DataFrame(rows)

    def plot(self) -> alt.TopLevelMixin:
        """Plain and partial correlations, one under the other."""
        from outfield.stats import _plots

        return _plots.estimates(self.estimates, title="correlation given the ID measure", rule=0.0)


def partial_correlation(
    a: Any,
    b: Any,
    given: Any,
    *,
    smoothers: Sequence[Smoother] = SMOOTHERS,
    names: Sequence[str] = (),
    level: Level = "model",
    confidence: float = 0.95,
) -> PartialCorrelation:
    """Correlation of ``a`` and ``b`` given ``given``: linear, rank, smoothing spline, and the plain one beside them.

    Each smoother's residuals are correlated. Intervals by Fisher z, with one unit fewer for the ID
    measure, of a spline as many as it took degrees of freedom (rank: Bonett and Wright's). Not known where a
    smooth leaves nothing over. The sign can differ between smoothers: read all three. A noisy ID
    measure fakes a positive value: see :func:`errors_in_variables`. Points of a trajectory are no
    independent units: see :func:`within_runs`.

    Parameters
    ----------
    a, b, given : vectors [n]
    smoothers : which of linear, rank and spline; leave all in unless only one is asked for
    names : names of the units
    level : what the rows are

    Raises
    ------
    UserError
        Fewer than six complete rows, a constant column, or fewer than five values of ``given``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> given = rng.normal(size=60)
    >>> found = partial_correlation(given + rng.normal(size=60), given + rng.normal(size=60), given)
    >>> found.frame()["value"].round(2).to_list(), found.sign_differs
    ([0.4, -0.02, 0.0, -0.02], False)
    """
    (u, v, x), keep, notes = paired(a, b, given, names=("a", "b", "given"), least=6)
    smooths = {kind: (left_over(u, x, kind), left_over(v, x, kind)) for kind in smoothers}
    left: dict[str, tuple[Array, Array]] = {kind: (first[0], second[0]) for kind, (first, second) in smooths.items()}
    spent = {"plain": 0.0} | {kind: max(first[1], second[1]) for kind, (first, second) in smooths.items()}
    every = {"plain": _plain(u, v, confidence)}
    for kind, pair in left.items():
        value = float(correlations(*pair, "pearson"))
        every[kind] = _partial_estimate(value, len(u), kind, spent[kind], confidence)
    p = {kind: _p_of(each.value, len(u) - spent[kind]) for kind, each in every.items()}
    kept = tuple(name for name, stays in zip(names, keep, strict=True) if stays) if len(names) else ()
    return PartialCorrelation(every, p, left, kept, level=level, n_units=len(u), notes=notes)


def _plain(a: Array, b: Array, confidence: float) -> Estimate:
    value = float(correlations(a, b, "pearson"))
    return intervals.estimate(value, intervals.fisher(value, 1 / np.sqrt(len(a) - 3), confidence=confidence), len(a))


def _partial_estimate(value: float, n: int, kind: str, spent: float, confidence: float) -> Estimate:
    inflate, left = np.sqrt(1 + value**2 / 2) if kind == "rank" else 1.0, n - 3 - spent
    if left <= 0:
        return Estimate(value, n=n)
    ends = intervals.fisher(value, float(inflate / np.sqrt(left)), confidence=confidence)
    return intervals.estimate(value, ends, n, confidence=confidence)


def _p_of(r: float, n: float) -> float:
    if np.isnan(r) or n <= 2:
        return float("nan")
    if abs(r) >= 1:
        return 0.0
    t = r * np.sqrt((n - 2) / (1 - r**2))
    return float(2 * stats.t.sf(abs(t), n - 2))


@dataclass(frozen=True, eq=False)
class PartialMatrix(Result):
    """Partial correlations of every pair of measures given one: [k, k], with p corrected over pairs."""

    names: tuple[str, ...]
    values: Array
    plain: Array
    p: Array
    smoother: str

    def frame(self) -> pl.DataFrame:
        import polars as pl

        i, j = np.triu_indices(len(self.names), 1)
        return pl.DataFrame({
            "first": [self.names[k] for k in i], "second": [self.names[k] for k in j],
            "partial": self.values[i, j], "plain": self.plain[i, j], "p": self.p[i, j],
        })  # fmt: skip

    def plot(self) -> alt.TopLevelMixin:
        """The heat map; :func:`network` of the displays draws the same as a graph."""
        from outfield.stats import _plots

        return _plots.matrix(self.names, self.values, title=f"partial correlation given ID ({self.smoother})")


def partial_matrix(
    measures: Array, given: Any, *, names: Sequence[str] = (), smoother: Smoother = "linear", level: Level = "model"
) -> PartialMatrix:
    """Partial correlation of every pair of columns of ``measures`` [n, k]; p by Benjamini and Hochberg.

    Raises
    ------
    UserError
        As :func:`partial_correlation`; no matrix.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> partial_matrix(rng.normal(size=(40, 3)), rng.normal(size=40), names=["a", "b", "c"]).frame().height
    3
    """
    from outfield.stats.multiplicity import benjamini_hochberg

    table = np.asarray(measures, dtype=float)
    if table.ndim != 2:
        raise UserError(f"Expected measures [n, k], but got shape {table.shape}. Pass one column for each measure.")
    labels = tuple(names) or tuple(f"measure {i}" for i in range(table.shape[1]))
    columns, _, notes = paired(*table.T, given, names=(*labels, "given"), least=6)
    left, spent = zip(*(left_over(column, columns[-1], smoother) for column in columns[:-1]), strict=True)
    plain = np.corrcoef(np.stack(columns[:-1]))
    with np.errstate(invalid="ignore"):
        values = np.corrcoef(np.stack(left))
    i, j = np.triu_indices(len(labels), 1)
    p, n = np.ones_like(values), len(columns[0])
    free = n - np.maximum(np.array(spent)[i], np.array(spent)[j])
    p[i, j] = p[j, i] = benjamini_hochberg([_p_of(r, m) for r, m in zip(values[i, j], free, strict=True)])
    return PartialMatrix(
        labels, values, plain, p, smoother, level=level, n_units=n, notes=notes,
        correction=f"Benjamini-Hochberg over {len(i)} pairs",
    )  # fmt: skip


# --- trajectories -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CircularShift(Result):
    """A correlation within one run and its circular-shift p."""

    value: float
    plain: float
    p: float
    steps: int
    smoother: str


def circular_shift_test(
    a: Any, b: Any, given: Any = None, *, steps: Any = None, smoother: Smoother = "linear"
) -> CircularShift:
    """Test of a correlation within one run by shifting one series in a circle; for stationary series alone.

    ``p = share of shifts (the unshifted one included) with |r| at least the observed``. With independent trends this
    test is wrong more often than not, so it refuses: fewer than 60 steps, steps at unequal distances, or
    residuals that a stationarity test (KPSS, level, 5%) or a trend test (slope against Newey-West error, 5%) rejects.

    Parameters
    ----------
    a, b, given : vectors [n], in the order of time
    steps : vector [n], optional; must be equally spaced

    Raises
    ------
    UserError
        When it refuses; the message says why.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found = circular_shift_test(rng.normal(size=100), rng.normal(size=100))
    >>> found.level, found.p > 0.05
    ('run', True)
    """
    columns = (a, b) if given is None else (a, b, given)
    kept, keep, _ = paired(*columns, names=("a", "b", "given")[: len(columns)], least=6)
    if not keep.all():
        raise UserError("Expected a run without gaps, but values are missing. Pass steps at equal distances.")
    left, right = (kept[0], kept[1]) if given is None else (residuals(y, kept[2], smoother) for y in kept[:2])
    _refuse(left, right, steps)
    n = len(left)
    turned = np.stack([np.roll(right, shift) for shift in range(n)])
    found = np.abs(correlations(np.broadcast_to(left, turned.shape), turned, "pearson"))
    value = float(correlations(left, right, "pearson"))
    plain = float(correlations(kept[0], kept[1], "pearson"))
    return CircularShift(value, plain, float((found >= found[0] - 1e-12).mean()), n, smoother, level="run", n_units=1)


def _refuse(left: Array, right: Array, steps: Any) -> None:
    n = len(left)
    if n < LEAST_STEPS:
        raise UserError(f"Expected at least {LEAST_STEPS} steps for a circular-shift test, but got {n}. Use more runs.")
    gaps = np.diff(np.arange(n) if steps is None else np.asarray(steps, float))
    if not np.allclose(gaps, gaps[0]):
        raise UserError(
            f"Expected equal steps, but they go from {gaps.min():g} to {gaps.max():g}. "
            "Use the run-permutation test, or measure at equal steps."
        )
    for name, series in (("a", left), ("b", right)):
        if why := _not_stationary(series):
            raise UserError(
                f"Expected stationary series, but {name} {why}. A circular shift would call unrelated trends "
                "significant in more than half of all cases: use run_permutation_test on at least five runs."
            )


def _not_stationary(series: Array) -> str:
    import warnings

    import statsmodels.api as sm
    from statsmodels.tsa.stattools import kpss

    n = len(series)
    lags = int(4 * (n / 100) ** 0.25)
    fit = sm.OLS(series, sm.add_constant(np.arange(n) / n)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    if fit.pvalues[1] < 0.05:
        return f"has a trend (p = {fit.pvalues[1]:.2g})"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = float(kpss(series, regression="c", nlags=lags)[1])
    return f"is not stationary (KPSS p <= {p:.2g})" if p < 0.05 else ""


def block_bootstrap(
    a: Any,
    b: Any,
    given: Any = None,
    *,
    smoother: Smoother = "linear",
    block: int | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """A band for display only, from moving blocks of one run: it is too narrow to test with.

    At autocorrelation .9 and 100 steps 13 to 24% of such intervals miss a true 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> band = block_bootstrap(rng.normal(size=80), rng.normal(size=80))
    >>> band.low < band.value < band.high
    True
    """
    columns = (a, b) if given is None else (a, b, given)
    kept, _, _ = paired(*columns, names=("a", "b", "given")[: len(columns)], least=6)
    left, right = (kept[0], kept[1]) if given is None else (residuals(y, kept[2], smoother) for y in kept[:2])
    n = len(left)
    length = block or max(1, round(n ** (1 / 3) * 2))
    rng = np.random.default_rng(seed)
    starts = rng.integers(n - length + 1, size=(draws, -(-n // length)))
    rows = (starts[..., None] + np.arange(length)).reshape(draws, -1)[:, :n]
    found = correlations(left[rows], right[rows], "pearson")
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Estimate(float(correlations(left, right, "pearson")), float(low), float(high), n=1)


# --- measurement error --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Corrected(Result):
    """A linear partial correlation, raw and corrected for measurement error of the ID accuracy.

    ``identifiable`` is False where the corrected variance is 0 or less: then ``corrected`` is NaN.
    """

    raw: float
    corrected: float
    plain: float
    error_variance: float
    reliability: float
    identifiable: bool
    method: str


def errors_in_variables(
    a: Any,
    b: Any,
    given: Any,
    *,
    correctness: Any = None,
    items: int | None = None,
    error_variance: float | None = None,
    level: Level | None = None,
) -> Corrected:
    """Linear partial correlation given a noisy ID accuracy, corrected for the noise.

    A noisy ID accuracy leaves part of itself in both residuals and fakes a positive partial correlation. The
    correction subtracts its error variance from Var(ID) before the regression:

    * ``correctness`` [T, n]: whether each of n items was right at each of T checkpoints. The same items are scored at
      every checkpoint, so that their noise is shared: ``tr(H S H) / (T - 1)``, S = the covariance of the T
      correctness vectors over items, divided by n, H = centring.
    * ``items``: the binomial form, the mean of ``p (1 - p) / (n - 1)``: only where items differ from row to row, or
      when per-item data is missing (along a trajectory it over-subtracts about twice).
    * ``error_variance``: a known one.

    Raises
    ------
    UserError
        Not exactly one source of the noise; an array of another length; as :func:`partial_correlation`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.uniform(0.4, 0.8, 400)
    >>> seen = rng.binomial(100, true) / 100
    >>> a, b = true + rng.normal(0, 0.03, 400), true + rng.normal(0, 0.03, 400)
    >>> found = errors_in_variables(a, b, seen, items=100)
    >>> round(found.raw, 1), round(found.corrected, 1)
    (0.7, -0.1)
    """
    (u, v, x), keep, notes = paired(a, b, given, names=("a", "b", "given"), least=6)
    noise, method, said = _error_variance(x, keep, correctness, items, error_variance)
    moments = np.cov(np.stack([u, v, x]))
    true = moments[2, 2] - noise
    raw = _partial_of(moments, moments[2, 2])
    corrected = _partial_of(moments, true) if true > 0 else float("nan")
    known = bool(np.isfinite(corrected))
    if not known:
        said = (*said, "Not identifiable: the noise of the ID accuracy is as large as its variance.")
    plain = float(np.corrcoef(u, v)[0, 1])
    unit: Level = level or ("run" if correctness is not None else "model")
    return Corrected(
        raw, corrected, plain, noise, float(1 - noise / moments[2, 2]), known, method, level=unit,
        n_units=1 if unit == "run" else len(u), notes=(*notes, *said),
    )  # fmt: skip


def _partial_of(moments: Array, variance: float) -> float:
    """Partial correlation of the first two given the third, whose variance is ``variance``."""
    slopes = moments[:2, 2] / variance
    left = moments[:2, :2] - np.outer(slopes, slopes) * variance
    product = left[0, 0] * left[1, 1]
    if left[0, 0] <= 0 or left[1, 1] <= 0:
        return float("nan")
    r = float(left[0, 1] / np.sqrt(product))
    return r if abs(r) <= 1 else float("nan")


def _error_variance(
    x: Array, keep: Array, correctness: Any, items: int | None, known: float | None
) -> tuple[float, str, tuple[str, ...]]:
    if sum(source is not None for source in (correctness, items, known)) != 1:
        raise UserError("Expected exactly one of correctness, items and error_variance. Pass what you have.")
    if known is not None:
        return float(known), "given", ()
    if items is not None:
        note = "Binomial error: right only where items differ from row to row; along a trajectory it over-subtracts."
        return binomial_error(x, items), "binomial", (note, *_few(items))
    table = np.asarray(correctness, dtype=float)
    if table.ndim != 2 or len(table) != len(keep):
        raise UserError(
            f"Expected correctness [{len(keep)}, items], but got shape {table.shape}. One row a checkpoint."
        )
    return item_error(table[keep]), "item covariance", _few(table.shape[1])


def _few(items: int) -> tuple[str, ...]:
    return (f"Only {items} items: fewer than {TOO_FEW_ITEMS} say little.",) if items < TOO_FEW_ITEMS else ()


def item_error(correctness: Array) -> float:
    """Error variance of a trajectory's accuracies, ``tr(H S H) / (T - 1)``, of correctness [T, n].

    Noise that all checkpoints share moves them together and is no error of their differences; H takes it out.
    It equals the mean over items of the variance over time of an item's deviation, and needs O(T n).

    Examples
    --------
    >>> item_error(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]))
    0.0
    """
    checkpoints, n = correctness.shape
    deviation = correctness - correctness.mean(axis=1, keepdims=True)
    centred = deviation - deviation.mean(axis=0, keepdims=True)
    return float((centred**2).sum() / ((n - 1) * n * (checkpoints - 1)))


def binomial_error(accuracy: Any, items: int) -> float:
    """Mean sampling variance of accuracies over ``items`` items each, ``p (1 - p) / (n - 1)``.

    Examples
    --------
    >>> round(binomial_error([0.5], 101), 6)
    0.0025
    """
    from outfield.stats.relate import as_share

    values = np.asarray(accuracy, dtype=float)
    shares, said = as_share(values, "accuracy")
    return float((shares * (1 - shares)).mean() / (items - 1) * (1e4 if said else 1.0))


@dataclass(frozen=True, eq=False)
class Reliability(Result):
    """Share of the variance of each test set's accuracies that is not sampling noise."""

    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        rows = self.table.to_dicts()
        return _plots.estimates({row["set"]: Estimate(row["reliability"], n=row["items"]) for row in rows})


def reliability(
    accuracies: dict[str, Any], items: dict[str, int], correctness: dict[str, Any] | None = None
) -> Reliability:
    """Reliability of every test set, ``1 - error variance / variance``; a warning below 200 items.

    Raises
    ------
    UserError
        No sets, or a set without a number of items.

    Examples
    --------
    >>> found = reliability({"rte": [0.5, 0.6, 0.7, 0.8]}, {"rte": 100})
    >>> found.frame()["reliability"].round(2).to_list(), found.notes
    ([0.87], ('rte has only 100 items: its estimate hangs on fewer than 200.',))
    """
    import polars as pl

    if not accuracies:
        raise UserError("Expected the accuracies of at least one test set, but got none. Pass them by name.")
    rows, notes = [], []
    for name, values in accuracies.items():
        if name not in items:
            raise UserError(f"Expected the number of items of {name!r}, but got {sorted(items)}. Add it.")
        table = (correctness or {}).get(name)
        noise = binomial_error(values, items[name]) if table is None else item_error(np.asarray(table, float))
        variance = float(np.var(np.asarray(values, float), ddof=1))
        method = "binomial" if table is None else "item covariance"
        share = 1 - noise / variance if variance else float("nan")
        rows.append(
            {"set": name, "items": items[name], "reliability": share, "error_variance": noise, "method": method}
        )
        if items[name] < TOO_FEW_ITEMS:
            notes.append(f"{name} has only {items[name]} items: its estimate hangs on fewer than {TOO_FEW_ITEMS}.")
    return Reliability(pl.DataFrame(rows), level="sample", n_units=min(items.values()), notes=tuple(notes))
