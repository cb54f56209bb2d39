"""The difference of two models: paired on the same items, clustered, or from two estimates alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isnan, nan, sqrt
from typing import Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Result, vector
from outfield.stats.power import detectable
from outfield.types import Array, Estimate

FEW_CLUSTERS = 5
"""Below this number of clusters no interval is given: its variance would rest on too few."""
MANY = 5
"""Sets from which on their mean has an interval over sets, where the sets themselves have none."""
FEW_FLIPS = 25
"""Below this number of items that differ McNemar's test is exact."""
Z = float(stats.norm.ppf(0.975))
MCNEMAR = "paired shares (Bonett and Price; McNemar's test)"
STUDENT = "Student's t of paired differences"
CLUSTERED = "Student's t of paired differences over clusters"
UNPAIRED = "both intervals squared and added, as if unpaired"


@dataclass(frozen=True, eq=False)
class Difference(Result):
    """The second less the first, with what stands behind it.

    Attributes
    ----------
    estimate : Estimate
        The mean difference with its 95% interval; ``n`` counts the items.
    first, second : float
        Both means.
    first_error, second_error : float
        Their standard errors; NaN where these are not known.
    error : float
        Standard error of the difference.
    p : float
        Two-sided, of no difference; NaN where there is no test.
    df : float
        Degrees of freedom of Student's t; infinite for a normal.
    method : str
        How interval and p came about.
    gained, lost : int, optional
        Items that are right (1) of the second alone, and of the first alone; None of scores that are not 0 or 1.
    """

    estimate: Estimate
    first: float
    second: float
    first_error: float = nan
    second_error: float = nan
    error: float = nan
    p: float = nan
    df: float = np.inf
    method: str = ""
    gained: int | None = None
    lost: int | None = None

    def detectable(self, comparisons: int = 1) -> float:
        """The smallest true difference that is found with a chance of 80%; NaN where the error is not known."""
        return detectable(self.error, self.df, comparisons=comparisons)


def paired_difference(first: Any, second: Any, clusters: Any = None, *, measures: bool = False) -> Difference:
    """Mean difference of scores of the same items, with its 95% interval.

    * Right or wrong (0 or 1), items independent: the adjusted Wald interval of Bonett and Price [1], which adds one
      item to each kind that differs; p is McNemar's, exact where fewer than 25 items differ.
    * Other scores: Student's t of the differences.
    * Clusters (documents, prompts): the standard error leaves one cluster out at a time (CR3) [2], t has one degree of
      freedom less than there are clusters, counted as ``effective`` ones. Below 5 there is neither interval nor p.

    Parameters
    ----------
    first, second : array-like [n]
        Scores of the same items in the same order.
    clusters : array-like [n], optional
        What each item belongs to.
    measures : bool
        Whether scores are measures, as AUROCs of models are: none is right or wrong, even where all are 0 or 1.

    Raises
    ------
    UserError
        Lengths differ, a score is missing, or there are fewer than two items.

    Examples
    --------
    >>> found = paired_difference([1] * 60 + [0] * 40, [1] * 50 + [0] * 10 + [1] * 25 + [0] * 15)
    >>> print(found.estimate, f"p = {found.p:.3f}", found.gained, found.lost)
    0.150 [0.034, 0.260] (n = 100) p = 0.011 25 10
    >>> found = paired_difference([1] * 60 + [0] * 40, [1] * 50 + [0] * 10 + [1] * 25 + [0] * 15, np.arange(100) // 5)
    >>> print(found.estimate, f"{found.n_units} clusters")
    0.150 [-0.125, 0.425] (n = 100) 20 clusters

    References
    ----------
    [1] Bonett, Price, Adjusted Wald confidence interval for a difference of binomial proportions based on paired data,
    Journal of Educational and Behavioral Statistics 2012.
    [2] Bell, McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples,
    Survey Methodology 2002.
    """
    one, two = _scores(first, second)
    groups = np.arange(len(one)) if clusters is None else _codes(clusters, len(one))
    moved, units = two - one, int(groups.max()) + 1
    binary = not measures and bool(np.isin(one, (0, 1)).all() and np.isin(two, (0, 1)).all())
    if clusters is not None and units < FEW_CLUSTERS:
        said = _without_interval(moved, units)
    elif binary and (clusters is None or not moved.any()):
        said = _paired_shares(moved, units)
    else:
        said = _student(moved, groups) | {"method": STUDENT if clusters is None else CLUSTERED}
    if binary:
        said |= {"gained": int((moved > 0).sum()), "lost": int((moved < 0).sum())}
    errors: dict[str, Any] = {"first_error": standard_error(one, groups), "second_error": standard_error(two, groups)}
    return Difference(
        first=float(one.mean()), second=float(two.mean()), level="sample", n_units=units, **errors, **said
    )


def independent_difference(first: Estimate, second: Estimate) -> Difference:
    """The difference of two estimates from their intervals alone: their distances to the ends, squared and added [1].

    Two models on the same items are mostly alike in what they find hard: the interval is then wider than a paired one.
    p is that of the normal whose interval would end at 0 where this one does.

    Examples
    --------
    >>> found = independent_difference(Estimate(0.70, 0.66, 0.74), Estimate(0.80, 0.76, 0.83))
    >>> print(found.estimate, f"p = {found.p:.4f}")
    0.100 [0.043, 0.150] (n = 0) p = 0.0005
    >>> independent_difference(Estimate(0.70), Estimate(0.80)).p
    nan

    References
    ----------
    [1] Zou, Donner, Construction of confidence limits about effect measures, Statistics in Medicine 2008.
    """
    value = second.value - first.value
    low = value - hypot(second.value - second.low, first.high - first.value)
    high = value + hypot(second.high - second.value, first.value - first.low)
    error = (high - low) / (2 * Z)
    towards = value - low if value > 0 else high - value
    p = nan if isnan(low) else float(value == 0) if not towards else 2 * float(stats.norm.sf(Z * abs(value) / towards))
    return Difference(
        Estimate(value, low, high, n=min(first.n, second.n)), first.value, second.value,
        (first.high - first.low) / (2 * Z), (second.high - second.low) / (2 * Z), error, p,
        method="none" if isnan(low) else UNPAIRED, level="sample", n_units=min(first.n, second.n),
    )  # fmt: skip


def mean_difference(found: Sequence[Difference]) -> Difference:
    """The mean of differences on several sets, each counting once.

    Where every set has a standard error, the interval is for other items of the same sets: the sets' errors added in
    squares, Student's t with Satterthwaite's degrees of freedom [1]. Where one has none, it is for other sets:
    Student's t over sets, from 5 of them; below there is none.

    Raises
    ------
    UserError
        There is no difference.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = [paired_difference(rng.normal(size=50), rng.normal(0.5, 1, 50)) for _ in range(3)]
    >>> found = mean_difference(sets)
    >>> round(found.estimate.value, 2), round(found.error, 3), found.estimate.n
    (0.38, 0.115, 150)

    References
    ----------
    [1] Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 1946.
    """
    if not found:
        raise UserError("Expected differences to take the mean of, but got none. Compare models on a set first.")
    values, count = np.array([one.estimate.value for one in found]), len(found)
    error, own, other = (
        float(np.sqrt(np.sum(np.square([getattr(one, name) for one in found])))) / count
        for name in ("error", "first_error", "second_error")
    )
    df, method = _satterthwaite(found), f"Student's t, other items of these {count} sets"
    if isnan(error) and count >= MANY:
        error, df, method = float(values.std(ddof=1)) / sqrt(count), count - 1, f"Student's t over {count} sets"
    value, half = float(values.mean()), float(stats.t.ppf(0.975, df)) * error
    first, second = (float(np.mean([getattr(one, side) for one in found])) for side in ("first", "second"))
    return Difference(
        Estimate(value, value - half, value + half, n=sum(one.estimate.n for one in found)),
        first, second, own, other, error, 2 * float(stats.t.sf(abs(value) / error, df)) if error > 0 else nan, df,
        "none" if isnan(error) else method, level="sample", n_units=sum(one.n_units for one in found),
    )  # fmt: skip


def _satterthwaite(found: Sequence[Difference]) -> float:
    """Degrees of freedom of the sum of independent differences, each with its own."""
    squares = np.array([one.error**2 for one in found])
    shares = float((squares**2 / np.array([one.df for one in found])).sum())
    return float(squares.sum() ** 2) / shares if shares > 0 else np.inf


def standard_error(values: Array, groups: Array) -> float:
    """Standard error of a mean from the means without each group (CR3); of items alone it is s / sqrt(n).

    Examples
    --------
    >>> values = np.arange(10.0)
    >>> round(standard_error(values, np.arange(10)), 3), round(float(values.std(ddof=1)) / np.sqrt(10).item(), 3)
    (0.957, 0.957)
    """
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    count = len(sizes)
    if count < 2:
        return nan
    without = (values.sum() - sums) / (len(values) - sizes)
    return sqrt((count - 1) / count * float(((without - values.mean()) ** 2).sum()))


def effective(groups: Array) -> float:
    """How many clusters of one size weigh as much as these, ``(sum n_c)^2 / sum n_c^2`` [1].

    Examples
    --------
    >>> effective(np.array([0, 0, 1, 1])), effective(np.array([0, 0, 0, 1]))
    (2.0, 1.6)

    References
    ----------
    [1] Carter, Schnepel, Steigerwald, Asymptotic behavior of a t test robust to cluster heterogeneity, Review of
    Economics and Statistics 2017.
    """
    sizes = np.bincount(groups)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _scores(first: Any, second: Any) -> tuple[Array, Array]:
    one, two = vector(first, "first"), vector(second, "second")
    if len(one) != len(two):
        raise UserError(f"Expected scores of the same items, but got {len(one)} and {len(two)}. Pair them first.")
    if len(one) < 2:
        raise UserError(f"Expected at least two items in both, but got {len(one)}. Add items.")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise UserError("Expected a score of every item, but some are missing or infinite. Leave these items out.")
    return one, two


def _codes(clusters: Any, n: int) -> Array:
    named = np.asarray(clusters)
    if named.shape != (n,):
        raise UserError(f"Expected a cluster for each of {n} items, but got {len(named)}. Pass one for each.")
    return np.asarray(np.unique(named.astype(str), return_inverse=True)[1])


def _without_interval(moved: Array, units: int) -> dict[str, Any]:
    why = f"No interval: {units} clusters are too few to tell how clusters vary (at least {FEW_CLUSTERS})."
    return {"estimate": Estimate(float(moved.mean()), n=len(moved)), "method": "none", "notes": (why,)}


def _paired_shares(moved: Array, units: int) -> dict[str, Any]:
    """Of right and wrong items; ``units`` are the items, or the clusters where not one item differs."""
    gained, lost = int((moved > 0).sum()), int((moved < 0).sum())
    up, down = (gained + 1) / (units + 2), (lost + 1) / (units + 2)
    error = sqrt((up + down - (up - down) ** 2) / (units + 2))
    low, high = max(-1.0, up - down - Z * error), min(1.0, up - down + Z * error)
    found = Estimate((gained - lost) / len(moved), low, high, n=len(moved))
    return {"estimate": found, "error": error, "p": _mcnemar(gained, lost), "method": MCNEMAR}


def _mcnemar(gained: int, lost: int) -> float:
    from statsmodels.stats.contingency_tables import mcnemar

    if gained == lost:
        return 1.0
    return float(mcnemar([[0, gained], [lost, 0]], exact=gained + lost < FEW_FLIPS, correction=False).pvalue)


def _student(moved: Array, groups: Array) -> dict[str, Any]:
    value, error, df = float(moved.mean()), standard_error(moved, groups), effective(groups) - 1
    half = float(stats.t.ppf(0.975, df)) * error
    p = 2 * float(stats.t.sf(abs(value) / error, df)) if error else float(value == 0)
    return {"estimate": Estimate(value, value - half, value + half, n=len(moved)), "error": error, "p": p, "df": df}
