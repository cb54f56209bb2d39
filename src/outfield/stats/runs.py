"""Correlations within each of several runs, and the run-permutation test of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from math import factorial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Result, paired
from outfield.stats.relate import correlations
from outfield.stats.smooth import Smoother, residuals
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt

LEAST_RUNS = 5
MOST_PAIRINGS = 40320


@dataclass(frozen=True, eq=False)
class WithinRuns(Result):
    """Mean over runs (in Fisher z) of the within-run correlation, and the run-permutation test of it.

    ``p_smallest`` is the smallest p that the number of runs allows, 1 / r!.

    Examples
    --------
    >>> found = within_runs([range(8), range(8)], [[1, 0, 3, 2, 5, 4, 7, 6], [0, 1, 2, 3, 4, 5, 7, 6]])
    >>> found.per_run.round(2).tolist(), found.n_units
    ([0.9, 0.98], 2)
    """

    estimate: Estimate
    plain: Estimate
    per_run: Array
    p: float
    p_smallest: float
    permutations: int
    smoother: str

    def plot(self) -> alt.TopLevelMixin:
        """The correlation of every run, and their mean."""
        from outfield.stats import _plots

        runs = {f"run {i}": Estimate(float(r)) for i, r in enumerate(self.per_run)}
        return _plots.estimates({"mean": self.estimate, "plain": self.plain, **runs}, rule=0.0)


Runs: TypeAlias = "Sequence[Any] | Array"


def within_runs(
    a: Runs, b: Runs, given: Runs | None = None, *, smoother: Smoother = "linear", confidence: float = 0.95
) -> WithinRuns:
    """Correlation of two measures within each run (given the ID measure), averaged over runs in Fisher z.

    Raw points of different runs are never pooled. The interval is Student's over the runs' z; the unit
    is the run. No test: see :func:`run_permutation_test`.

    Parameters
    ----------
    a, b, given : a sequence of vectors, one a run; each run's are of equal length

    Raises
    ------
    UserError
        Fewer than two runs, runs of unequal length within, or fewer than six points in a run.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = within_runs(rng.normal(size=(6, 40)), rng.normal(size=(6, 40)))
    >>> found.level, found.n_units, found.p != found.p
    ('run', 6, True)
    """
    left, right, raw = _within(a, b, given, smoother)
    per_run = np.array([float(correlations(u, v, "pearson")) for u, v in zip(left, right, strict=True)])
    plain = np.array([float(correlations(u, v, "pearson")) for u, v in raw])
    return WithinRuns(
        _mean_z(per_run, confidence), _mean_z(plain, confidence), per_run, float("nan"), 1 / factorial(len(left)), 0,
        smoother, level="run", n_units=len(left),
    )  # fmt: skip


def _within(a: Runs, b: Runs, given: Runs | None, smoother: Smoother) -> tuple[list[Array], list[Array], list[Any]]:
    count = len(a)
    if count < 2 or len(b) != count or (given is not None and len(given) != count):
        raise UserError(
            f"Expected the same number of runs (at least two), but got {count} and {len(b)}. Pass all runs."
        )
    left, right, raw = [], [], []
    for i in range(count):
        columns = (a[i], b[i]) if given is None else (a[i], b[i], given[i])
        kept, _, _ = paired(*columns, names=("a", "b", "given")[: len(columns)], least=6)
        raw.append((kept[0], kept[1]))
        left.append(kept[0] if given is None else residuals(kept[0], kept[2], smoother))
        right.append(kept[1] if given is None else residuals(kept[1], kept[2], smoother))
    return left, right, raw


def _z(r: Array) -> Array:
    return np.asarray(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))


def mean_over_runs(
    r: Array, clusters: Sequence[str] = (), confidence: float = 0.95
) -> tuple[Array, Array, Array, Array]:
    """Mean of correlations [runs, ...] over runs in Fisher z, both ends of Student's interval, and units, each [...].

    The unit is the run; where ``clusters`` says which runs are kin, it is the cluster: kin are averaged first, so that
    a rerun or a near copy does not count twice. A run whose correlation is NaN is left out; one unit has no interval.

    Examples
    --------
    >>> [each.round(1).tolist() for each in mean_over_runs(np.array([0.5, 0.6, 0.1]), ["a", "a", "b"])]
    [0.3, -1.0, 1.0, 2]
    """
    z = of_clusters(_z(r), clusters)
    known = np.isfinite(z)
    units = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, z, 0).sum(axis=0) / units
        spread = np.sqrt(np.where(known, (z - mean) ** 2, 0).sum(axis=0) / (units - 1) / units)
        width = stats.t.ppf(0.5 + confidence / 2, np.maximum(units - 1, 1)) * spread
    return np.tanh(mean), np.tanh(mean - width), np.tanh(mean + width), np.asarray(units)


def of_clusters(values: Array, clusters: Sequence[str]) -> Array:
    """Means of values [runs, ...] over the runs of each cluster, NaN left out: [clusters, ...].

    Examples
    --------
    >>> of_clusters(np.array([1.0, 3.0, np.nan]), ["a", "a", "b"]).tolist(), of_clusters(np.array([1.0]), ()).tolist()
    ([2.0, nan], [1.0])
    """
    if not clusters:
        return values
    of = np.unique(np.asarray(clusters), return_inverse=True)[1]
    known = np.isfinite(values)
    member = (of == np.arange(of.max() + 1)[:, None]).astype(float)
    with np.errstate(invalid="ignore"):
        sums, counts = (np.tensordot(member, each, 1) for each in (np.where(known, values, 0.0), known.astype(float)))
        return np.asarray(sums / counts)


def sign_test(r: Array, clusters: Sequence[str] = ()) -> float:
    """Exact two-sided sign test of correlations [runs]: is it as often positive as negative?

    It needs no steps in common. A cluster of kin has one sign, that of its mean in Fisher z; a unit of exactly 0 has
    none. What all runs share, as the curve of learning, is in every sign: see :func:`conditional_p` for a test of
    what is left beyond it. NaN where no unit has a sign.

    Examples
    --------
    >>> sign_test(np.array([0.1, 0.2, 0.3, 0.1, 0.4, 0.5])), sign_test(np.array([0.1, 0.2, -0.3]), ["a", "a", "b"])
    (0.03125, 1.0)
    """
    signs = np.sign(of_clusters(_z(np.asarray(r, float)), clusters))
    positive, negative = int((signs > 0).sum()), int((signs < 0).sum())
    if not positive + negative:
        return float("nan")
    return _sign_p(positive, positive + negative)


@lru_cache(maxsize=4096)
def _sign_p(positive: int, units: int) -> float:
    return float(stats.binomtest(positive, units).pvalue)


def _mean_z(r: Array, confidence: float) -> Estimate:
    value, low, high, _ = mean_over_runs(r, confidence=confidence)
    return intervals.estimate(float(value), (low, high), len(r), confidence=confidence)


def run_permutation_test(
    a: Runs, b: Runs, given: Runs | None = None, *, error_variance: Any = 0.0, smoother: Smoother = "linear",
    confidence: float = 0.95, most: int = MOST_PAIRINGS, seed: int = 0,
) -> WithinRuns:  # fmt: skip
    """Test of a within-run correlation: pair measure A of run i with measure B of run j.

    A trend or autocorrelation that all runs share is there in wrong pairs too, so that it cannot make the
    test significant. All r! pairings are tried up to ``most``, else a seeded sample of that size (the
    observed one included). Two-sided, about the mean over pairings. Fewer than five runs give the interval
    and no p (1 / r! is at best .04 for four).

    Given an ID measure, the estimate is of :func:`within_runs`, and the p is of :func:`conditional_p`, which has
    it for the linear smoother alone: the residuals of a run hold the noise and the wandering of that run's ID
    measure, which wrong pairs do not share, so that permuting them rejects a true null in half of all cases
    (``make coverage``).

    Parameters
    ----------
    a, b, given : as in :func:`within_runs`, and all runs of one length: their steps are paired
    error_variance : number, or one a run
        Of the ID measure along the run (:func:`outfield.stats.item_error`); 0 takes it for exact.
    most : most pairings to try

    Raises
    ------
    UserError
        As :func:`within_runs`; runs of different length.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(6, 30))
    >>> found = run_permutation_test(shared + rng.normal(size=(6, 30)), shared + rng.normal(size=(6, 30)))
    >>> round(found.p_smallest, 5), found.p < 0.01
    (0.00139, True)
    """
    found = within_runs(a, b, given, smoother=smoother, confidence=confidence)
    if found.n_units < LEAST_RUNS:
        note = f"No p: {found.n_units} runs allow none below {found.p_smallest:.2g}; at least {LEAST_RUNS} are needed."
        return replace(found, notes=(*found.notes, note))
    if given is not None and smoother != "linear":
        return replace(found, notes=(*found.notes, f"No p by {smoother}: the test is of the linear correlation."))
    if given is not None:
        p, tried = conditional_p(a, b, given, error_variance, most=most, seed=seed)
    else:
        left, right = _of_one_length(a, b)
        p, tried = _permuted(_z(np.corrcoef(left, right)[: len(left), len(left) :]), most, seed)
    note = f"Smallest possible p: {max(found.p_smallest, 1 / tried):.2g}." if tried else UNKNOWN
    return replace(found, p=p, permutations=tried, notes=(*found.notes, note))


UNKNOWN = "No p: beyond what they share, the runs' ID measures differ by no more than their noise."


def conditional_p(
    a: Runs, b: Runs, given: Runs, error_variance: Any = 0.0, *, most: int = MOST_PAIRINGS, seed: int = 0
) -> tuple[float, int]:
    """Run permutation of two measures given a noisy ID measure: p, and how many pairings were tried.

    What all runs share at a step is taken out first (the mean over runs). The slope of each measure on the true
    ID measure is one for all runs, with the variance of the noise taken from the variance of ID. The statistic is
    the covariance of what the slopes leave over, less what the noise of a run's ID, being in both, brings there.
    NaN and 0 where the ID measures of the runs differ by no more than their noise.

    Measured size at .05 in simulation: .02 to .08 (``make coverage``); more where the ID set is several times
    smaller than the OOD sets.

    Raises
    ------
    UserError
        Runs of different length or with missing values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true, ends = np.linspace(0.5, 0.8, 12) + rng.normal(0, 0.03, (6, 12)), rng.normal(0, 0.01, (2, 6, 12))
    >>> p, tried = conditional_p(true + ends[0], true + ends[1], true + rng.normal(0, 0.01, (6, 12)), 0.01**2)
    >>> p > 0.05, tried
    (True, 720)
    """
    left, right, known = (_apart(each) for each in _of_one_length(a, b, given))
    runs, steps = known.shape
    noise = np.mean(error_variance) * (steps - 1) * (np.eye(runs) - 1 / runs)
    true = (known**2).sum() - np.trace(noise)
    if true <= 1e-12 * (known**2).sum() or not known.any():
        return float("nan"), 0
    slopes = (left * known).sum() / true, (right * known).sum() / true
    crossed = (left - slopes[0] * known) @ (right - slopes[1] * known).T - slopes[0] * slopes[1] * noise
    return _permuted(crossed, most, seed)


def _apart(values: Array) -> Array:
    """What runs [r, T] do not share at a step, about its mean over steps."""
    own = values - values.mean(axis=0)
    return np.asarray(own - own.mean(axis=1, keepdims=True))


def _of_one_length(*measures: Runs) -> list[Array]:
    """Measures [r, T]; an error where runs are of different length or have missing values."""
    lengths = {len(run) for runs in measures for run in runs}
    if len(lengths) > 1 or not all(np.isfinite(np.asarray(runs, float)).all() for runs in measures):
        raise UserError(
            f"Expected runs of one length without missing values, but got {sorted(lengths)} steps. "
            "Cut all runs to their common complete steps."
        )
    return [np.asarray(runs, float) for runs in measures]


def _permuted(crossed: Array, most: int, seed: int) -> tuple[float, int]:
    """Share of pairings at least as far from their mean as the true one; ``crossed`` [r, r]: z, or covariances."""
    orders = _orders(len(crossed), most, seed)
    means = sum(np.take(row, order) for row, order in zip(crossed, orders, strict=True)) / len(crossed)
    away = np.abs(means - crossed.mean())
    return float((away >= away[0] - 1e-12).mean()), orders.shape[1]


@lru_cache(maxsize=8)
def _orders(runs: int, most: int, seed: int) -> Array:
    """Pairings of runs [runs, tried], the true one first."""
    if factorial(runs) <= most:
        return np.array(list(permutations(range(runs)))).T.copy()
    rng = np.random.default_rng(seed)
    return np.stack([np.arange(runs), *(rng.permutation(runs) for _ in range(most - 1))], axis=1)
