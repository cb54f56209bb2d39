"""Intervals: closed forms where they cover, bias-corrected bootstrap elsewhere.

Measured coverage of each kind stands in ``docs/statistics.md`` (``make coverage`` measures it again).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import optimize, special, stats

from outfield.errors import UserError
from outfield.types import Array, Estimate

Kind: TypeAlias = Literal["percentile", "basic", "bc", "bca"]


def fisher(r: float, se: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a correlation from the standard error of its Fisher z, ``tanh(atanh r +- z se)``.

    Examples
    --------
    >>> [round(end, 4) for end in fisher(0.5, 0.1)]
    [0.3393, 0.6323]
    """
    if abs(r) >= 1:
        return (r, r)
    width = stats.norm.ppf(0.5 + confidence / 2) * se
    return float(np.tanh(np.arctanh(r) - width)), float(np.tanh(np.arctanh(r) + width))


def bonett_wright(r: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a Spearman correlation: Fisher z with ``se = sqrt((1 + r^2 / 2) / (n - 3))`` [1].

    Ranks that agree wholly have no finite z: one end is then 1, the other that of ``1 - 6 / (n (n^2 - 1))``, half way
    to the ranks with two neighbours exchanged. It leaves 0 out from n = 5, as the exact permutation test does.

    Examples
    --------
    >>> [round(end, 4) for end in bonett_wright(0.659339, 48)]
    [0.4376, 0.8055]
    >>> [round(end, 2) for end in bonett_wright(1.0, 4)]
    [-0.69, 1.0]

    References
    ----------
    [1] Bonett, Wright, Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations, Psychometrika 2000.
    """
    closest = 1 - 6 / (n * (n**2 - 1))
    if abs(r) > closest:
        low, _ = bonett_wright(closest, n, confidence=confidence)
        return (low, 1.0) if r > 0 else (-1.0, -low)
    return fisher(r, float(np.sqrt((1 + r**2 / 2) / (n - 3))), confidence=confidence)


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(1, 100)]
    [0.002, 0.054]
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def clopper_pearson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share: it holds the truth at least as often as it says, for every n and share.

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(0, 368)]
    [0.0, 0.01]

    References
    ----------
    Clopper, Pearson. The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial.
    Biometrika 26, 1934.
    """
    found = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def resampled(
    value: Array | float, draws: Array, *, jackknife: Array | None = None, kind: Kind = "bc", confidence: float = 0.95
) -> Array:
    """Interval from bootstrap draws: [..., 2] for draws [B, ...].

    ``percentile`` takes the quantiles of the draws, ``basic`` mirrors them at the value, ``bc``
    shifts them by the bias ``z0 = Phi^-1(share of draws below the value)``, ``bca`` corrects also
    for the acceleration of the ``jackknife`` values [n, ...] [1].

    Raises
    ------
    UserError
        ``bca`` without jackknife values, or an unknown kind.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(1.0, 1.0, 4000)
    >>> resampled(1.0, draws, kind="percentile").round(1).tolist()
    [-0.9, 3.0]

    References
    ----------
    [1] Efron, Better bootstrap confidence intervals, JASA 1987.
    """
    tails = np.array([0.5 - confidence / 2, 0.5 + confidence / 2])
    if kind == "percentile":
        return np.moveaxis(np.nanquantile(draws, tails, axis=0), 0, -1)
    if kind == "basic":
        ends = np.nanquantile(draws, tails[::-1], axis=0)
        return np.moveaxis(2 * np.asarray(value) - ends, 0, -1)
    if kind not in ("bc", "bca") or (kind == "bca" and jackknife is None):
        raise UserError(f"Expected percentile, basic, bc, or bca with jackknife values, but got {kind!r}. Choose one.")
    acceleration = 0.0 if kind == "bc" or jackknife is None else _acceleration(jackknife)
    return _corrected(np.asarray(value, float), draws, acceleration, tails)


def _acceleration(jackknife: Array) -> Array:
    spread = jackknife.mean(axis=0) - jackknife
    cubes, squares = (spread**3).sum(axis=0), (spread**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(cubes / (6 * squares**1.5)))


def _corrected(value: Array, draws: Array, acceleration: Array | float, tails: Array) -> Array:
    count = len(draws)
    below = (draws < value).mean(axis=0) + (draws == value).mean(axis=0) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    ends = []
    for tail in stats.norm.ppf(tails):
        moved = bias + (bias + tail) / (1 - acceleration * (bias + tail))
        ends.append(_quantile_each(draws, stats.norm.cdf(moved)))
    return np.stack(ends, axis=-1)


def _quantile_each(draws: Array, share: Array) -> Array:
    columns = draws.reshape(len(draws), -1)
    shares = np.broadcast_to(share, draws.shape[1:]).ravel()
    picked = [np.quantile(column, at) for column, at in zip(columns.T, shares, strict=True)]
    return np.asarray(picked).reshape(draws.shape[1:])


def jackknife(value: Any, left_out: Array, *, strata: Array | None = None, confidence: float = 0.95) -> Array:
    """Interval [..., 2] from values without each unit, ``left_out`` [n, ...]: bias-corrected, Student's t [1].

    With ``strata`` [n] (units drawn within fixed groups) bias and variance are summed over groups; a group of one adds
    nothing. For a mean it is Student's interval.

    Examples
    --------
    >>> values = np.random.default_rng(0).uniform(size=30)
    >>> jackknife(values.mean(), (values.sum() - values) / 29).round(2).tolist()
    [0.41, 0.65]

    References
    ----------
    [1] Tukey, Bias and confidence in not quite large samples, Annals of Mathematical Statistics 1958.
    """
    groups, t = _groups(left_out, strata, confidence)
    return _jackknifed(np.asarray(value, float), left_out, groups, t)


def share_jackknife(value: Any, left_out: Array, *, strata: Array | None = None, confidence: float = 0.95) -> Array:
    """Jackknife interval [..., 2] of shares in [0, 1].

    Made twice, on the plain and on the logit scale [1], and joined: the logit alone misses small shares, the plain
    scale alone large ones. Shares that the jackknife places at or below 0 get the plain one. Arguments as in
    :func:`jackknife`.

    Examples
    --------
    >>> values = np.random.default_rng(0).uniform(size=30)
    >>> without = (values.sum() - values) / 29
    >>> share_jackknife(values.mean(), without).round(2).tolist()
    [0.41, 0.65]

    References
    ----------
    [1] Arvesen, Jackknifing U-statistics, Annals of Mathematical Statistics 1969.
    """
    groups, t = _groups(left_out, strata, confidence)
    plain = _jackknifed(np.asarray(value, float), left_out, groups, t)
    inside = (np.asarray(value) > 0) & (left_out > 0).all(axis=0) & (left_out < 1).all(axis=0)
    safe, rest = np.where(inside, value, 0.5), np.where(inside, left_out, 0.5)
    on_logit = special.expit(_jackknifed(special.logit(safe), special.logit(rest), groups, t))
    low, high = np.minimum(plain[..., 0], on_logit[..., 0]), np.maximum(plain[..., 1], on_logit[..., 1])
    usable = inside & (plain.mean(axis=-1) > 0)
    return np.where(usable[..., None], np.stack([low, high], axis=-1), plain)


def _groups(left_out: Array, strata: Array | None, confidence: float) -> tuple[Array, float]:
    groups = np.zeros(len(left_out), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    df = len(groups) - int(groups.max()) - 1
    if df < 1:
        raise UserError(f"Expected at least two units to take one out, but got {len(left_out)}. Add units.")
    return groups, float(stats.t.ppf(0.5 + confidence / 2, df))


def _jackknifed(value: Array, left_out: Array, groups: Array, t: float) -> Array:
    centre, variance = value.copy(), np.zeros_like(value)
    for group in range(int(groups.max()) + 1):
        part = left_out[groups == group]
        n, mean = len(part), part.mean(axis=0)
        centre = centre + (n - 1) * (value - mean)
        variance = variance + (n - 1) / n * ((part - mean) ** 2).sum(axis=0)
    half = t * np.sqrt(variance)
    return np.stack([centre - half, centre + half], axis=-1)


def noncentral_f(f: float, df: float, df_error: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the noncentrality of an F statistic, by inverting its distribution [1].

    Examples
    --------
    >>> [round(end, 2) for end in noncentral_f(5.0, 2, 57)]
    [0.6, 25.71]

    References
    ----------
    [1] Steiger, Beyond the F test, Psychological Methods 2004.
    """
    return tuple(_noncentrality(f, df, df_error, 0.5 + side * confidence / 2) for side in (1, -1))  # type: ignore[return-value]


def _noncentrality(f: float, df: float, df_error: float, share: float) -> float:
    def excess(nc: float) -> float:
        return float(stats.ncf.cdf(f, df, df_error, nc) if nc > 0 else stats.f.cdf(f, df, df_error)) - share

    if excess(0.0) <= 0:
        return 0.0
    top = max(4 * f * df, 100.0)
    while excess(top) > 0:
        top *= 2
    return float(optimize.brentq(excess, 0.0, top))


def estimate(value: float, ends: Any, n: int, *, confidence: float = 0.95) -> Estimate:
    """An ``Estimate`` of a value, the two ends of its interval, and its number of units.

    Examples
    --------
    >>> print(estimate(0.5, (0.4, 0.6), 30))
    0.500 [0.400, 0.600] (n = 30)
    """
    low, high = ends
    return Estimate(float(value), float(low), float(high), n=n, level=confidence)


def bootstrap(
    statistic: Callable[..., Array],
    *columns: Array,
    draws: int = 2000,
    kind: Kind = "bca",
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A statistic of paired columns with its bootstrap interval over units.

    ``statistic(*columns, axis=-1)`` must work along the last axis; resampling is scipy's.

    Examples
    --------
    >>> values = np.arange(50.0)
    >>> estimate = bootstrap(np.mean, values)
    >>> estimate.value, estimate.low < 24.5 < estimate.high, estimate.n
    (24.5, True, 50)
    """
    method = {"percentile": "percentile", "basic": "basic", "bca": "BCa"}.get(kind)
    if method is None:
        raise UserError(f"Expected percentile, basic or bca, but got {kind!r}. Choose one of them.")
    found = stats.bootstrap(
        columns, statistic, paired=True, vectorized=True, n_resamples=draws, method=method,
        confidence_level=confidence, rng=np.random.default_rng(seed),
    )  # fmt: skip
    value = float(statistic(*columns, axis=-1))
    return estimate(value, found.confidence_interval, len(columns[0]), confidence=confidence)
