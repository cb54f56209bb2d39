"""Do many models agree? "No pattern" is a tested claim, not a look at signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Result, vector
from outfield.stats.multiplicity import holm
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


@dataclass(frozen=True, eq=False)
class Heterogeneity(Result):
    """Cochran's Q of estimates with known errors, I2 (share of variation beyond chance), random-effects mean.

    Examples
    --------
    >>> found = heterogeneity([0.1, 0.1, 0.1], [0.2, 0.2, 0.2])
    >>> round(found.q, 6), found.i2.value, found.tau2
    (0.0, 0.0, 0.0)
    """

    q: float
    df: int
    p: float
    i2: Estimate
    tau2: float
    mean: Estimate


def heterogeneity(values: Any, errors: Any) -> Heterogeneity:
    """Whether estimates differ by more than their errors: Q against chi2, I2 = (Q - df) / Q, DerSimonian-Laird mean.

    Correlations go in as Fisher z with error ``1 / sqrt(n - 3)``. I2 rises with the variance between estimates, whose
    interval is that of the generalised Q: where it has the tail probabilities of chi2 [1]. The mean's interval is
    Knapp and Hartung's [2], by the spread that the estimates have and Student's t, no narrower than their errors ask.

    Parameters
    ----------
    values, errors : vectors [k]: estimates and their standard errors

    Raises
    ------
    UserError
        Fewer than two estimates, or an error that is not positive.

    Examples
    --------
    >>> found = heterogeneity([0.1, 0.9, -0.6, 0.4], [0.2, 0.2, 0.2, 0.2])
    >>> round(found.q, 1), found.p < 0.001, round(found.i2.value, 2)
    (29.5, True, 0.9)

    References
    ----------
    [1] Viechtbauer, Confidence intervals for the amount of heterogeneity in meta-analysis, Statistics in Medicine 2007.
    [2] Knapp, Hartung, Improved tests for a random effects meta-regression, Statistics in Medicine 2003.
    """
    y, se = vector(values, "values"), vector(errors, "errors")
    if len(y) < 2 or len(se) != len(y) or not (se > 0).all() or not np.isfinite([*y, *se]).all():
        raise UserError(
            f"Expected two or more estimates with positive errors, but got {len(y)}. Pass each one's error."
        )
    weight, df = 1 / se**2, len(y) - 1
    q = float((weight * (y - np.average(y, weights=weight)) ** 2).sum())
    tau2 = max(0.0, (q - df) / (weight.sum() - (weight**2).sum() / weight.sum()))
    return Heterogeneity(
        q, df, float(stats.chi2.sf(q, df)), _i2(y, se, q), float(tau2), _random_mean(y, se, tau2),
        level="model", n_units=len(y),
    )  # fmt: skip


def _random_mean(y: Array, se: Array, tau2: float) -> Estimate:
    weight, df = 1 / (se**2 + tau2), len(y) - 1
    mean = float(np.average(y, weights=weight))
    spread = max(1.0, float((weight * (y - mean) ** 2).sum()) / df)
    half = stats.t.ppf(0.975, df) * np.sqrt(spread / weight.sum())
    return intervals.estimate(mean, (mean - half, mean + half), len(y))


def _i2(y: Array, se: Array, q: float) -> Estimate:
    """``tau2 / (tau2 + s2)`` with the typical error variance s2, which is (Q - df) / Q at DerSimonian-Laird's tau2."""
    weight, df = 1 / se**2, len(y) - 1
    typical = df * weight.sum() / (weight.sum() ** 2 - (weight**2).sum())
    between = np.array([_between(y, se, stats.chi2.ppf(share, df)) for share in (0.975, 0.025)])
    low, high = between / (between + typical)
    value = max(0.0, (q - df) / q) if q else 0.0
    return intervals.estimate(value, (min(low, value), max(high, value)), len(y))


def _between(y: Array, se: Array, wanted: float) -> float:
    """The variance between estimates at which the generalised Q is ``wanted``; 0 where it is less already."""

    def excess(tau2: float) -> float:
        weight = 1 / (se**2 + tau2)
        return float((weight * (y - np.average(y, weights=weight)) ** 2).sum()) - wanted

    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 1.01 * ((y - y.mean()) ** 2).sum() / wanted))


@dataclass(frozen=True, eq=False)
class Agreement(Result):
    """How far the (partial) correlation matrices of several models share a pattern.

    ``table`` has a row per pair of sets: mean, share of positive models, Q, I2, p (Holm).

    Examples
    --------
    >>> alike = np.array([[1.0, 0.6], [0.6, 1.0]])
    >>> found = agreement([alike, alike, alike], 40, names=["a", "b"])
    >>> found.positive.value, found.leading.round(2).tolist()
    (1.0, [0.8, 0.8, 0.8])
    """

    mean: Estimate
    positive: Estimate
    leading: Array
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        rows = self.table.to_dicts()
        named = {f"{r['first']} ~ {r['second']}": Estimate(r["mean"], r["low"], r["high"]) for r in rows}
        return _plots.estimates(named, title="mean correlation over models", rule=0.0)


def agreement(matrices: Any, n: Any = None, *, errors: Any = None, names: Any = (), given: int = 1) -> Agreement:
    """Agreement of correlation matrices [models, k, k], each over ``n`` independent points or with known errors.

    Mean off-diagonal correlation and share of positive pairs (intervals over models: pairs of one model are not
    independent; the share's is Wilson's for as many pairs as there are models), share of the leading eigenvalue of
    each model, and for every pair of sets the heterogeneity over models.

    Parameters
    ----------
    matrices : array [models, k, k]
    n : number or vector [models], optional: independent points (runs, not checkpoints) behind each matrix
    errors : array [models, k, k], optional: standard errors of the correlations in Fisher z, instead of ``n``
    given : how many measures were partialled out

    Raises
    ------
    UserError
        Fewer than two models, too few points, or not exactly one of ``n`` and ``errors``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = agreement([np.corrcoef(rng.normal(size=(3, 40))) for _ in range(6)], 40)
    >>> found.frame().height, found.n_units
    (3, 6)
    """
    import polars as pl

    stack = np.asarray(matrices, dtype=float)
    if stack.ndim != 3 or len(stack) < 2 or stack.shape[1] != stack.shape[2]:
        raise UserError(f"Expected matrices [models >= 2, k, k], but got shape {stack.shape}. Pass one for each model.")
    i, j = np.triu_indices(stack.shape[1], 1)
    spread = _errors(len(stack), stack.shape[1], n, errors, given)
    z = np.arctanh(np.clip(stack[:, i, j], -1 + 1e-12, 1 - 1e-12))
    found = [heterogeneity(column, each) for column, each in zip(z.T, spread[:, i, j].T, strict=True)]
    labels = tuple(names) or tuple(f"set {k}" for k in range(stack.shape[1]))
    rows = [_pair_row(labels[a], labels[b], stack[:, a, b], each) for a, b, each in zip(i, j, found, strict=True)]
    table = pl.DataFrame(rows).with_columns(p=pl.Series(holm([each.p for each in found])))
    leading = np.linalg.eigvalsh(stack)[:, -1] / stack.shape[1]
    share = float((stack[:, i, j] > 0).mean())
    positive = intervals.estimate(share, intervals.wilson(share * len(stack), len(stack)), len(stack))
    return Agreement(
        _over_models(stack[:, i, j].mean(axis=1)), positive, leading, table,
        level="model", n_units=len(stack), correction=f"Holm over {len(i)} pairs",
    )  # fmt: skip


def _errors(models: int, size: int, n: Any, errors: Any, given: int) -> Array:
    """Standard errors in Fisher z, [models, k, k]."""
    if (n is None) == (errors is None):
        raise UserError("Expected exactly one of n and errors. Pass the points behind each matrix, or its errors.")
    if errors is not None:
        return np.asarray(errors, dtype=float)
    points = np.broadcast_to(np.asarray(n, float), (models,))
    if (points - 3 - given <= 0).any():
        raise UserError(
            f"Expected more than {3 + given} points behind each matrix, but got {points.min():g}. Add runs."
        )
    return np.broadcast_to(1 / np.sqrt(points - 3 - given)[:, None, None], (models, size, size))


def _pair_row(first: str, second: str, values: Array, found: Heterogeneity) -> dict[str, Any]:
    mean = found.mean
    return {
        "first": first, "second": second, "mean": float(np.tanh(mean.value)), "low": float(np.tanh(mean.low)),
        "high": float(np.tanh(mean.high)), "positive": float((values > 0).mean()), "q": found.q, "i2": found.i2.value,
    }  # fmt: skip


def _over_models(values: Array) -> Estimate:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return intervals.estimate(float(values.mean()), (values.mean() - half, values.mean() + half), len(values))
