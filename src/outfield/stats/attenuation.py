"""What standard errors of the cells do to a table: reliability of each measure, correlations less the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Level, Result, paired, vector
from outfield.types import Array, Estimate

DRAWS = 1000
LEAST_IDENTIFIED = 0.5
"""Share of resamples whose correlation less the noise must exist."""


@dataclass(frozen=True, eq=False)
class CellReliability(Result):
    """The share of a measure's variance over units that is not noise of its cells.

    ``noise`` is the root mean square standard error, ``spread`` the standard deviation over units.
    """

    reliability: Estimate
    noise: float
    spread: float


def cell_reliability(values: Any, errors: Any, *, confidence: float = 0.95, level: Level = "model") -> CellReliability:
    """Reliability of a measure from the standard errors of its cells, ``1 - mean(se^2) / var(values)``.

    An error of 0, or none, is not known: it is no exact value, and its unit does not count. Where all models are scored
    on the same items, part of the noise is common to them and moves none past another: the reliability is then a lower
    bound. The interval is a jackknife over units.

    Parameters
    ----------
    values, errors : vectors [n]

    Raises
    ------
    UserError
        Lengths differ, a negative error, fewer than four units with a value and an error, or a constant measure.

    Examples
    --------
    >>> values = np.linspace(0.5, 0.7, 30)
    >>> print(cell_reliability(values, np.full(30, 0.03)).reliability)
    0.756 [0.665, 0.851] (n = 30)
    """
    x, se = vector(values, "values"), known_errors(errors)
    if len(x) != len(se):
        raise UserError(f"Expected an error for each of {len(x)} values, but got {len(se)}. Pass NaN where unknown.")
    (x,), keep, notes = paired(np.where(np.isnan(se), np.nan, x), names=("values with an error",))
    noise = se[keep] ** 2
    value = 1 - noise.mean() / x.var(ddof=1)
    ends = intervals.share_jackknife(value, _without_each(x, noise), confidence=confidence)
    found = intervals.estimate(float(value), np.minimum(ends, 1.0), len(x), confidence=confidence)
    return CellReliability(
        found, float(np.sqrt(noise.mean())), float(x.std(ddof=1)), level=level, n_units=len(x), notes=notes
    )


def _without_each(x: Array, noise: Array) -> Array:
    """The reliability without each unit."""
    n = len(x)
    spread = ((x - x.mean()) ** 2).sum() - n / (n - 1) * (x - x.mean()) ** 2
    with np.errstate(divide="ignore"):
        return np.asarray(1 - (noise.sum() - noise) / (n - 1) / (spread / (n - 2)))


def known_errors(errors: Any) -> Array:
    """Standard errors, those of 0 as not known: a "± 0.00" was rounded or never measured.

    Raises
    ------
    UserError
        An error is negative.

    Examples
    --------
    >>> known_errors([0.01, 0.0, 0.02]).tolist()
    [0.01, nan, 0.02]
    """
    se = vector(errors, "errors")
    if (se < 0).any():
        raise UserError(f"Expected standard errors of 0 or more, but got {np.nanmin(se):g}. Check the column.")
    return np.where(se > 0, se, np.nan)


@dataclass(frozen=True, eq=False)
class Disattenuated(Result):
    """A linear correlation as it is seen, and less the noise of the cells.

    ``corrected`` is NaN where the noise is as large as the spread, or its interval where that is so in most resamples.
    """

    raw: Estimate
    corrected: Estimate
    reliabilities: tuple[float, ...]


def disattenuated_correlation(
    a: Any, b: Any, given: Any = None, *, errors: Sequence[Any], draws: int = DRAWS, confidence: float = 0.95,
    seed: int = 0, level: Level = "model",
) -> Disattenuated:  # fmt: skip
    """Pearson correlation of two noisy measures, or their partial correlation given a noisy third, less the noise.

    Noise of ``a`` and ``b`` pulls their correlation towards 0; noise of ``given`` leaves part of itself in both and
    fakes a partial correlation. The mean squared standard errors are taken off the variances (Spearman's correction
    [1]; errors in variables [2]), errors of different measures being independent. The interval is a percentile
    bootstrap over units; resamples in which the noise exceeds the spread stand for correlations of 1 and -1.

    Parameters
    ----------
    a, b, given : vectors [n]
    errors : a vector of standard errors [n] for each measure, or None where it is not known (nothing is taken off)

    Raises
    ------
    UserError
        Not an error column for each measure; fewer than six complete units; a constant measure; no error known.

    References
    ----------
    [1] Spearman (1904), The proof and measurement of association between two things, American Journal of Psychology.
    [2] Fuller, Measurement error models, 1987, section 1.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.normal(size=200)
    >>> a, b = true + rng.normal(size=(2, 200))
    >>> found = disattenuated_correlation(a, b, errors=[np.ones(200)] * 2)
    >>> round(found.raw.value, 1), round(found.corrected.value, 1), [round(r, 1) for r in found.reliabilities]
    (0.5, 1.0, [0.5, 0.5])
    """
    measures = (a, b) if given is None else (a, b, given)
    if len(errors) != len(measures):
        raise UserError(f"Expected errors of {len(measures)} measures, but got {len(errors)}. Pass None where unknown.")
    names = ("a", "b", "given")[: len(measures)]
    columns, keep, notes = paired(*measures, names=names, least=6)
    noise = np.stack([_noise(each, keep) for each in errors], axis=1)
    values = np.stack(columns, axis=1)
    values = (values - values.mean(0)) / values.std(0, ddof=1)
    noise = noise / np.stack(columns, axis=1).var(0, ddof=1)
    samples = _corrected(*_moments(values, noise, _resamples(len(values), draws, seed)))
    once = _moments(values, noise, np.ones((1, len(values))))
    raw, value = float(_partial(once[0])[0]), float(_existing(_partial(_less(*once)))[0])
    spent = len(measures) - 2
    seen = intervals.fisher(raw, (len(values) - 3 - spent) ** -0.5, confidence=confidence)
    return Disattenuated(
        intervals.estimate(raw, seen, len(values), confidence=confidence),
        _estimate(value, samples, len(values), confidence),
        tuple(float(1 - each) for each in noise.mean(0)), level=level, n_units=len(values), notes=notes,
    )  # fmt: skip


def _noise(errors: Any, keep: Array) -> Array:
    """Error variance of every unit; the mean of the others where it is not known, 0 where none is."""
    if errors is None:
        return np.zeros(int(keep.sum()))
    se = known_errors(errors)
    if len(se) != len(keep):
        raise UserError(f"Expected an error for each of {len(keep)} units, but got {len(se)}. Pass NaN where unknown.")
    known = se[keep] ** 2
    if np.isnan(known).all():
        raise UserError("Expected a standard error above 0, but all are 0 or missing. Pass None for this measure.")
    return np.where(np.isnan(known), np.nanmean(known), known)


@lru_cache(maxsize=2)
def _resamples(n: int, draws: int, seed: int) -> Array:
    """How often each unit is drawn: [draws, n]. A table's correlations share them."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


def _moments(values: Array, noise: Array, weights: Array) -> tuple[Array, Array]:
    """Covariances [B, k, k] and mean error variances [B, k] of weighted units."""
    n, k = values.shape
    means = weights @ values / n
    products = (weights @ (values[:, :, None] * values[:, None, :]).reshape(n, k * k) / n).reshape(-1, k, k)
    return (products - means[:, :, None] * means[:, None, :]) * n / (n - 1), weights @ noise / n


def _less(covariance: Array, noise: Array) -> Array:
    return covariance - noise[:, :, None] * np.eye(noise.shape[1])


def _partial(covariance: Array) -> Array:
    """Correlation of the first two given the third, where there is one: [B]; NaN where a variance is 0 or less."""
    left = covariance[:, :2, :2]
    with np.errstate(invalid="ignore", divide="ignore"):
        if covariance.shape[1] == 3:
            given = np.where(covariance[:, 2, 2] > 0, covariance[:, 2, 2], np.nan)
            left = left - covariance[:, :2, 2, None] * covariance[:, None, 2, :2] / given[:, None, None]
        spread = np.where((left[:, 0, 0] > 0) & (left[:, 1, 1] > 0), left[:, 0, 0] * left[:, 1, 1], np.nan)
        return np.asarray(left[:, 0, 1] / np.sqrt(spread))


def _existing(r: Array) -> Array:
    """Correlations beyond 1 by the luck of the sample as 1."""
    return np.clip(r, -1, 1)


def _corrected(covariance: Array, noise: Array) -> Array:
    """Of every resample; NaN where the noise exceeds the spread."""
    return _existing(_partial(_less(covariance, noise)))


def _estimate(value: float, samples: Array, n: int, confidence: float) -> Estimate:
    exist = np.isfinite(samples)
    if not np.isfinite(value) or exist.mean() < LEAST_IDENTIFIED:
        return Estimate(value, n=n)
    lost = int((~exist).sum())
    both = np.concatenate([samples[exist], np.tile([-1.0, 1.0], lost)])
    low, high = intervals.resampled(value, both, kind="percentile", confidence=confidence)
    return intervals.estimate(value, (min(low, value), max(high, value)), n, confidence=confidence)
