"""Correlations within one run, whose steps are no independent units: a circular-shift test, a band to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from outfield.errors import UserError
from outfield.stats.base import Result, paired
from outfield.stats.intervals import fisher
from outfield.stats.relate import correlations
from outfield.stats.smooth import Smoother, residuals
from outfield.types import Array, Estimate

LEAST_STEPS = 60


@dataclass(frozen=True, eq=False)
class CircularShift(Result):
    """A correlation within one run and its circular-shift p.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found = circular_shift_test(rng.normal(size=60), rng.normal(size=60))
    >>> found.steps, round(found.p * 60)
    (60, 29)
    """

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


@dataclass(frozen=True, eq=False)
class EffectiveCheckpoints(Result):
    """A correlation within one run, and how many independent checkpoints its interval is worth.

    ``checkpoints`` are there, ``effective`` of them count.
    """

    estimate: Estimate
    checkpoints: int
    effective: float


def effective_checkpoints(a: Any, b: Any, given: Any = None, *, smoother: Smoother = "linear") -> EffectiveCheckpoints:
    """How many independent checkpoints a correlation of two series of one run is worth.

    Neighbouring checkpoints repeat each other. Of series with autocorrelations ``r_a(k)``, ``r_b(k)`` at lag k,
    ``1 / n_eff = 1 / n + (2 / n) sum over k <= n / 5 of (1 - k / n) r_a(k) r_b(k)`` [1, 2]: 100 checkpoints of
    autocorrelation .9 are worth about ten. The number is kept within 2 and n. The interval is Fisher's for so many, and
    is not known for three or fewer. It takes the series for stationary: where both follow a trend, the trend is what
    correlates, and no number of checkpoints of one run makes it a sample. Use several runs.

    Parameters
    ----------
    a, b, given : vectors [n], in the order of time, at equal steps

    Raises
    ------
    UserError
        Fewer than ten checkpoints, missing values, lengths that differ, or a constant series.

    References
    ----------
    [1] Bartlett (1946), On the theoretical specification and sampling properties of autocorrelated time-series.
    [2] Pyper and Peterman (1998), Comparison of methods to account for autocorrelation in correlation analyses of fish
    data, Canadian Journal of Fisheries and Aquatic Sciences.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> walks = np.cumsum(rng.normal(size=(2, 60)), axis=1)
    >>> found = effective_checkpoints(*walks)
    >>> found.checkpoints, round(found.effective, 1)
    (60, 8.5)
    """
    columns = (a, b) if given is None else (a, b, given)
    kept, keep, _ = paired(*columns, names=("a", "b", "given")[: len(columns)], least=10)
    if not keep.all():
        raise UserError("Expected a run without gaps, but values are missing. Pass steps at equal distances.")
    left, right = (kept[0], kept[1]) if given is None else (residuals(y, kept[2], smoother) for y in kept[:2])
    n, value = len(left), float(correlations(left, right, "pearson"))
    lags = np.arange(1, n // 5 + 1)
    repeated = 2 * ((1 - lags / n) * _autocorrelation(left, lags) * _autocorrelation(right, lags)).sum()
    effective = float(np.clip(n / max(1 + repeated, 1 / n), 2, n))
    ends = fisher(value, (effective - 3) ** -0.5) if effective > 3 else (float("nan"), float("nan"))
    found = Estimate(value, *ends, n=int(effective))
    return EffectiveCheckpoints(found, n, effective, level="run", n_units=1)


def _autocorrelation(series: Array, lags: Array) -> Array:
    """Autocorrelation at every lag, each sum of products scaled to n terms."""
    centred, n = series - series.mean(), len(series)
    products = np.array([(centred[lag:] * centred[:-lag]).sum() * n / (n - lag) for lag in lags])
    return np.asarray(products / (centred**2).sum())
