"""AUROCs of the same samples: DeLong's intervals, paired comparisons, and what a shared ID sample does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.metrics._ranking import Placements, auroc_estimate, delong_covariance, delong_difference
from outfield.metrics.base import IdScores
from outfield.stats.base import Result, paired
from outfield.stats.multiplicity import holm
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


@dataclass(frozen=True, eq=False)
class Auroc(Result):
    """An AUROC with DeLong's interval.

    Examples
    --------
    >>> found = delong([0.1, 0.2, 0.6], [0.5, 0.9])
    >>> round(found.estimate.value, 3), found.level, found.n_units
    (0.833, 'sample', 5)
    """

    estimate: Estimate


def delong(id_scores: Any, ood_scores: Any) -> Auroc:
    """AUROC (OOD positive) with DeLong's interval on the logit scale, in O(n log n).

    Raises
    ------
    UserError
        Empty scores, or NaN.

    Examples
    --------
    >>> print(delong([1.0, 2.0, 3.0, 4.0], [2.5, 4.5, 5.0, 6.0]).estimate)
    0.875 [0.396, 0.987] (n = 8)
    """
    found = auroc_estimate(IdScores(id_scores).against(ood_scores))
    return Auroc(found, level="sample", n_units=found.n)


@dataclass(frozen=True, eq=False)
class AurocComparison(Result):
    """Paired differences of the AUROCs of several detectors on the same samples; p by Holm.

    Examples
    --------
    >>> found = compare_aurocs({"a": ([0.0, 1.0, 2.0], [3.0, 4.0]), "b": ([0.0, 1.0, 2.0], [1.5, 4.0])})
    >>> {name: round(one.value, 3) for name, one in found.aurocs.items()}
    {'a': 1.0, 'b': 0.833}
    """

    aurocs: dict[str, Estimate]
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        return _plots.estimates(self.aurocs, title="AUROC")


def compare_aurocs(scores: Mapping[str, tuple[Any, Any]]) -> AurocComparison:
    """All pairs of detectors scored on the same ID and OOD samples: DeLong's paired difference, p by Holm.

    Parameters
    ----------
    scores : detector to (ID scores, OOD scores), rows in one order

    Raises
    ------
    UserError
        Fewer than two detectors, or scores of different samples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = compare_aurocs({"a": (rng.normal(0, 1, 99), rng.normal(2, 1, 99)),
    ...                         "b": (rng.normal(0, 1, 99), rng.normal(1, 1, 99))})
    >>> found.frame()["difference"].round(2).to_list(), found.correction
    ([0.12], 'Holm over 1 pairs')
    """
    if len(scores) < 2:
        raise UserError(f"Expected at least two detectors, but got {list(scores)}. Add one.")
    import polars as pl

    places = {name: Placements.of(*pair) for name, pair in scores.items()}
    pairs = list(combinations(scores, 2))
    rows = []
    for first, second in pairs:
        found = delong_difference(places[first], places[second])
        rows.append((first, second, found.value, found.low, found.high))
    p = holm([_p_value(difference, low) for _, _, difference, low, _ in rows])
    table = pl.DataFrame(rows, schema=["first", "second", "difference", "low", "high"], orient="row").with_columns(p=p)
    n = len(next(iter(places.values())).id) + len(next(iter(places.values())).ood)
    aurocs = {name: delong(*pair).estimate for name, pair in scores.items()}
    return AurocComparison(aurocs, table, level="sample", n_units=n, correction=f"Holm over {len(pairs)} pairs")


def _p_value(difference: float, low: float) -> float:
    error = (difference - low) / stats.norm.ppf(0.975)
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stats.norm.sf(abs(difference) / error))


def shared_id_covariance(id_scores: Any, first_ood: Any, second_ood: Any) -> float:
    """DeLong's covariance of two AUROCs that share the ID scores and nothing else.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared_id_covariance(rng.normal(size=200), rng.normal(size=200), rng.normal(size=200)) > 0
    True
    """
    first, second = Placements.of(id_scores, first_ood), Placements.of(id_scores, second_ood)
    return delong_covariance(first, second, "id")


@dataclass(frozen=True, eq=False)
class Unshared(Result):
    """Correlation of two AUROCs over models, raw and without what the shared ID sample adds."""

    raw: float
    corrected: float
    covariance: float


def unshared_correlation(first: Any, second: Any, covariances: Any, variances: Any = None) -> Unshared:
    """Correlation of two OOD sets' AUROCs over models, less the covariance that one ID sample gives them.

    Two AUROCs from the same ID scores correlate about .5 with nothing else in common. DeLong's covariance is subtracted
    from the covariance over models; with ``variances`` the two AUROCs' own noise is taken from their variances too.
    Without per-sample scores, use disjoint halves of the ID set.

    Parameters
    ----------
    first, second : vectors [models] of AUROCs
    covariances : vector [models] of :func:`shared_id_covariance`, or their mean
    variances : array [2, models] of DeLong's variances, optional

    Raises
    ------
    UserError
        As for correlations; or nothing is left of a variance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(0, 0.02, 200)
    >>> a, b = 0.9 + shared + rng.normal(0, 0.01, 200), 0.9 + shared + rng.normal(0, 0.01, 200)
    >>> found = unshared_correlation(a, b, 0.0004)
    >>> found.raw > 0.4, abs(found.corrected) < 0.3
    (True, True)
    """
    (a, b), keep, notes = paired(first, second)
    moments = np.cov(a, b)
    covariance = float(np.mean(covariances))
    noise = np.zeros(2) if variances is None else np.asarray(variances, float)[:, keep].mean(axis=1)
    left = np.diag(moments) - noise
    if (left <= 0).any():
        raise UserError("Expected AUROCs that vary more than their sampling noise, but they do not. Use more samples.")
    corrected = float((moments[0, 1] - covariance) / np.sqrt(left.prod()))
    raw = float(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1]))
    return Unshared(raw, float(np.clip(corrected, -1, 1)), covariance, level="model", n_units=len(a), notes=notes)


def id_halves(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Two disjoint random halves of n ID rows: one for each OOD set.

    Examples
    --------
    >>> a, b = id_halves(10)
    >>> sorted([*a.tolist(), *b.tolist()]) == list(range(10))
    True
    """
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 :]
