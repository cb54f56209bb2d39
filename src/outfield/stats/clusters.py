"""Correlations, slopes and partial correlations of rows that are kin: intervals by delete-one-cluster jackknife.

Rows of one family (architecture, laboratory, run) share what made them. A row still counts as a row in the estimate;
the interval holds for new families. Everything is made of sums over clusters: a thousand rows take milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Level, Result, paired, vector
from outfield.stats.relate import Correlation, Line
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import polars as pl

Kind: TypeAlias = Literal["spearman", "pearson", "kendall"]
LEAST = 5
"""Clusters below which no interval is given: nothing can be learned of families from four of them."""
ALMOST_ONE = 1 - 1e-12
ROWS_AT_ONCE = 500
SHARED = (0.0, 0.1, 0.3, 1.0)
"""Intraclass correlations at which the critical value is sought."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which cluster each row belongs to.

    Parameters
    ----------
    codes : array of int, shape [n]
        Index into ``names``.
    names : tuple of str

    Examples
    --------
    >>> found = Clusters.of(["vit", "swin", "vit"])
    >>> found.names, found.sizes.tolist(), found.sums(np.array([1.0, 2.0, 5.0])).tolist()
    (('swin', 'vit'), [1, 2], [2.0, 6.0])
    """

    codes: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Sequence[Any] | Array) -> Clusters:
        """The clusters of a label for each row."""
        names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
        return cls(codes, tuple(names.tolist()))

    @cached_property
    def sizes(self) -> Array:
        return np.bincount(self.codes, minlength=len(self.names))

    @cached_property
    def members(self) -> list[Array]:
        """The rows of each cluster."""
        return np.split(np.argsort(self.codes, kind="stable"), np.cumsum(self.sizes)[:-1])

    @property
    def count(self) -> int:
        return len(self.names)

    def sums(self, values: Array) -> Array:
        """Sums over the rows of each cluster: [..., n] to [..., clusters]."""
        order = np.concatenate(self.members)
        return np.asarray(np.add.reduceat(values[..., order], np.cumsum(self.sizes) - self.sizes, axis=-1))

    def means(self, values: Array) -> Array:
        return np.asarray(self.sums(values) / self.sizes)

    def within(self, values: Array) -> Array:
        """Values less the mean of their cluster."""
        return np.asarray(values - self.means(values)[..., self.codes])


def intraclass(values: Any, labels: Any) -> float:
    """Intraclass correlation of rows in clusters of unequal sizes, from one-way analysis of variance, 0 to 1 [1].

    Examples
    --------
    >>> round(intraclass([1.0, 1.1, 5.0, 5.2, 9.0], ["a", "a", "b", "b", "c"]), 3)
    0.999

    References
    ----------
    [1] Donner, A review of inference procedures for the intraclass correlation coefficient, Int. Stat. Review 1986.
    """
    clusters = labels if isinstance(labels, Clusters) else Clusters.of(labels)
    return float(_intraclass(vector(values), clusters))


def _intraclass(values: Array, clusters: Clusters) -> Array:
    """Of each row of ``values`` [..., n]; 0 where every cluster has one row."""
    n, count, sizes = len(clusters.codes), clusters.count, clusters.sizes
    if not 1 < count < n:
        return np.zeros(values.shape[:-1])
    centred = values - values.mean(axis=-1, keepdims=True)
    between = (sizes * clusters.means(centred) ** 2).sum(axis=-1) / (count - 1)
    within = (clusters.within(centred) ** 2).sum(axis=-1) / (n - count)
    size = (n - (sizes**2).sum() / n) / (count - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (between - within) / (between + (size - 1) * within)
    return np.asarray(np.clip(np.nan_to_num(found), 0, 1))


def independent_units(values: Any, labels: Any) -> float:
    """How many independent rows would tell as much of a mean as these do, ``sum n_g / (1 + (n_g - 1) ICC)``.

    It lies between the number of clusters and that of rows.

    Parameters
    ----------
    values : vector [n], or measures [k, n]: their mean intraclass correlation is taken
    labels : vector [n], the cluster of each row

    Examples
    --------
    >>> round(independent_units([1.0, 1.1, 5.0, 5.2, 9.0], ["a", "a", "b", "b", "c"]), 2)
    3.0
    """
    clusters = labels if isinstance(labels, Clusters) else Clusters.of(labels)
    shared = float(np.mean(_intraclass(np.atleast_2d(np.asarray(values, float)), clusters)))
    return float((clusters.sizes / (1 + (clusters.sizes - 1) * shared)).sum())


# --- estimates without each cluster ---


def _moments(columns: Array, rows: Array) -> tuple[int, Array, Array]:
    part = columns[:, rows]
    return part.shape[1], part.sum(axis=1), part @ part.T


def _covariances(columns: Array, clusters: Clusters) -> tuple[Array, Array]:
    """Sums of products about the mean of ``columns`` [k, n], whole [k, k] and without each cluster [g, k, k].

    A column that is constant without a cluster has no number there: what is left of its variance is rounding.
    """
    centred = columns - columns.mean(axis=1, keepdims=True)
    each = [_moments(centred, rows) for rows in clusters.members]
    counts, firsts, seconds = (np.stack(part) for part in zip(*each, strict=True))
    total = seconds.sum(axis=0)
    left = total - seconds - firsts[:, :, None] * firsts[:, None, :] / (len(clusters.codes) - counts)[:, None, None]
    constant = np.diagonal(left, axis1=-2, axis2=-1) <= 1e-12 * np.diagonal(total)
    return total, np.where(constant[:, :, None] & np.eye(len(columns), dtype=bool), np.nan, left)


def _rank_covariances(columns: Array, clusters: Clusters) -> tuple[Array, Array]:
    """As :func:`_covariances`, of ranks that are made anew without each cluster."""
    ranks, rising = stats.rankdata(columns, axis=1), np.sort(columns, axis=1)
    codes = clusters.codes[np.argsort(columns, axis=1)]
    starts = (columns.shape[1] + 1) * np.arange(len(columns))[:, None]
    below, upto = (starts + _places(rising, columns, side) for side in ("left", "right"))
    without, passed = [], np.zeros((len(columns), columns.shape[1] + 1))
    for cluster in range(clusters.count):
        np.cumsum(codes == cluster, axis=1, out=passed[:, 1:])
        lost = (passed.take(below) + passed.take(upto)) / 2
        without.append(_products((ranks - lost)[:, clusters.codes != cluster]))
    return _products(ranks), np.stack(without)


def _places(rising: Array, columns: Array, side: Literal["left", "right"]) -> Array:
    return np.stack([np.searchsorted(a, b, side=side) for a, b in zip(rising, columns, strict=True)])


def _products(columns: Array) -> Array:
    centred = columns - columns.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T)


def _as_correlations(products: Array) -> Array:
    scale = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(products / (scale[..., :, None] * scale[..., None, :]))


def _given(r: Array, given: int) -> Array:
    """Partial correlations of every pair given one measure, of correlations [..., k, k]."""
    with_it = r[..., :, given]
    left = np.clip(1 - with_it**2, 1e-15, None)
    scale = np.sqrt(left[..., :, None] * left[..., None, :])
    return np.asarray((r - with_it[..., :, None] * with_it[..., None, :]) / scale)


def _tau_parts(x: Array, y: Array, clusters: Clusters) -> tuple[Array, Array]:
    """Sums over pairs of the products of signs (xy, xx, yy): whole [3], and without each cluster [3, g]."""
    by_row = np.concatenate(
        [_signs(x, y, rows) for rows in np.array_split(np.arange(len(x)), len(x) // ROWS_AT_ONCE + 1)], axis=1
    )
    inside = np.stack([_signs(x[rows], y[rows], slice(None)).sum(axis=1) for rows in clusters.members], axis=1)
    whole = by_row.sum(axis=1)
    return whole, whole[:, None] - 2 * clusters.sums(by_row) + inside


def _signs(x: Array, y: Array, rows: Any) -> Array:
    a, b = np.sign(x[rows, None] - x), np.sign(y[rows, None] - y)
    return np.stack([(a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1)])


# --- intervals ---


@dataclass(frozen=True, eq=False)
class Spread:
    """Standard error and bias of estimates from those without each cluster, and how many errors an interval takes."""

    error: Array
    bias: Array
    sizes: tuple[int, ...]

    def ends(self, value: Array, confidence: float) -> tuple[Array, Array]:
        """The interval about the value joined with the one about the value less its bias."""
        half = _critical(self.sizes, confidence) * self.error
        return value - np.maximum(self.bias, 0) - half, value - np.minimum(self.bias, 0) + half

    def p(self, value: Array) -> Array:
        """Two-sided, of the value or of the value less its bias, whichever is nearer 0; below .05 where the 95% ends
        have one sign."""
        nearer = np.where(value * (value - self.bias) <= 0, 0, np.minimum(abs(value), abs(value - self.bias)))
        freedom = max(sum(self.sizes) ** 2 / sum(size**2 for size in self.sizes) - 1, 1.0)
        scale = stats.t.ppf(0.975, freedom) / _critical(self.sizes, 0.95)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * stats.t.sf(nearer / self.error * scale, freedom))


def _spread(value: Array, left: Array, clusters: Clusters) -> Spread:
    """Of estimates [...] by those without each cluster [g, ...]."""
    count, moved = clusters.count, left - value
    error = np.sqrt((count - 1) / count * (moved**2).sum(axis=0))
    return Spread(error, (count - 1) * moved.mean(axis=0), tuple(sorted(clusters.sizes.tolist())))


@lru_cache(maxsize=64)
def _critical(sizes: tuple[int, ...], confidence: float) -> float:
    """How many jackknife errors an interval takes: the quantile of a mean over its error, for clusters of these sizes.

    Simulated of normal rows at several intraclass correlations, of which the largest counts; a little wider for few
    clusters, where estimate and error go together.
    """
    size, count = np.array(sizes, float), len(sizes)
    draws = np.random.default_rng(0).normal(size=(int(np.clip(5e5 / count, 1000, 4000)), count))
    spread = np.sqrt(size * (1 + (size - 1) * np.array(SHARED)[:, None])).T
    part, left = size[:, None] / (size.sum() - size)[:, None], (size.sum() - size)[:, None]
    total = draws @ spread / size.sum()
    moved = draws**2 @ (spread / left) ** 2 - 2 * total * (draws @ (spread * part / left)) + total**2 * (part**2).sum()
    ratios = abs(total) / np.sqrt((count - 1) / count * moved)
    found: list[float] = np.quantile(ratios, confidence, axis=0).tolist()
    return max(found) * (1 + 1.5 / count)


def _z(r: Array) -> Array:
    return np.asarray(np.arctanh(np.clip(r, -ALMOST_ONE, ALMOST_ONE)))


def too_few(clusters: Clusters, word: str = "clusters") -> tuple[str, ...]:
    """Why there is no interval, or nothing.

    Examples
    --------
    >>> too_few(Clusters.of(list("aabb")), "families")
    ('No interval: 2 families are too few to tell how much families differ; at least 5 are needed.',)
    """
    if clusters.count >= LEAST:
        return ()
    return (
        f"No interval: {clusters.count} {word} are too few to tell how much {word} differ; at least {LEAST} are "
        "needed.",
    )


# --- pairs of measures ---


@dataclass(frozen=True, eq=False)
class ClusterCorrelations(Result):
    """Correlations of every pair of measures, plain or given one of them, with intervals by cluster.

    Parameters
    ----------
    names : tuple of str
    values, low, high, p : arrays, shape [k, k]
        NaN ends and p where there are fewer than five clusters.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> family = np.repeat(np.arange(9), 4)
    >>> columns = rng.normal(size=(36, 2)) + rng.normal(size=9)[family, None]
    >>> found = correlations_by_cluster(columns, family, names=["near", "far"])
    >>> print(found.of("near", "far"), found.n_units)
    0.799 [0.468, 0.944] (n = 9) 9
    """

    names: tuple[str, ...]
    values: Array
    low: Array
    high: Array
    p: Array
    kind: str
    confidence: float = 0.95

    def of(self, first: str, second: str) -> Estimate:
        """The estimate of one pair."""
        i, j = self.names.index(first), self.names.index(second)
        ends = float(self.low[i, j]), float(self.high[i, j])
        return Estimate(float(self.values[i, j]), *ends, n=self.n_units, level=self.confidence)

    def p_of(self, first: str, second: str) -> float:
        return float(self.p[self.names.index(first), self.names.index(second)])

    def pair(self, first: str, second: str, x: Array, y: Array, names: Sequence[str] = ()) -> Correlation:
        """One pair with its rows; of ranks that agree wholly one end is open, as in Bonett and Wright's interval."""
        found, p = self.of(first, second), self.p_of(first, second)
        if abs(found.value) > ALMOST_ONE and np.isfinite(found.low):
            low, high = intervals.bonett_wright(found.value, self.n_units, confidence=self.confidence)
            found, p = replace(found, low=low, high=high), 0.0
        return Correlation(
            self.kind, found, p, "cluster jackknife", x, y, tuple(names), level=self.level, n_units=self.n_units,
            notes=self.notes,
        )  # fmt: skip

    def frame(self) -> pl.DataFrame:
        import polars as pl

        i, j = np.triu_indices(len(self.names), 1)
        named = {"first": [self.names[k] for k in i], "second": [self.names[k] for k in j]}
        parts = {"value": self.values, "low": self.low, "high": self.high, "p": self.p}
        return pl.DataFrame(named | {name: part[i, j] for name, part in parts.items()})


def correlations_by_cluster(
    columns: Any, labels: Any, *, kind: Literal["spearman", "pearson"] = "spearman", given: int | None = None,
    names: Sequence[str] = (), level: Level = "cluster", confidence: float = 0.95,
) -> ClusterCorrelations:  # fmt: skip
    """Correlation of every pair of columns whose rows are kin, or partial correlation given one column.

    The estimate is that of the rows. Its interval is on Fisher z, with the standard error of the jackknife that leaves
    out one cluster at a time [1], ranks made anew each time. How many errors it takes is the quantile of the same
    ratio, simulated for clusters of these sizes: a few large clusters carry both estimate and error, so that Student's
    t of no degrees of freedom fits [2]. It is joined with the interval about the value less its jackknife bias.
    ``given`` with ``spearman`` is the rank partial correlation.

    Parameters
    ----------
    columns : array, shape [n, k]
    labels : vector [n], the cluster of each row
    kind : ``spearman`` or ``pearson``
    given : the column to hold fixed

    Raises
    ------
    UserError
        No matrix, labels of another length, a constant column, fewer than four complete rows.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> family = np.repeat(np.arange(10), [1, 1, 2, 2, 3, 4, 5, 6, 8, 20])
    >>> columns = rng.normal(size=(52, 3)) + 2 * rng.normal(size=10)[family, None]
    >>> found = correlations_by_cluster(columns, family, given=0, kind="pearson", names=["val", "a", "r"])
    >>> print(found.of("a", "r"))
    0.461 [0.090, 0.724] (n = 10)

    References
    ----------
    [1] Efron, Stein, The jackknife estimate of variance, Annals of Statistics 1981.
    [2] Carter, Schnepel, Steigerwald, Asymptotic behavior of a t-test robust to cluster heterogeneity, Review of
    Economics and Statistics 2017.
    """
    table = np.asarray(columns, dtype=float)
    if table.ndim != 2:
        raise UserError(f"Expected measures [n, k], but got shape {table.shape}. Pass one column for each measure.")
    called = tuple(names) or tuple(f"measure {i}" for i in range(table.shape[1]))
    rows, clusters, notes = _clustered(list(table.T), labels, called)
    stack = np.stack(rows)
    whole, left = (_rank_covariances if kind == "spearman" else _covariances)(stack, clusters)
    r, without = _as_correlations(whole), _as_correlations(left)
    if given is not None:
        r, without = _given(r, given), _given(without, given)
    spread = _spread(_z(r), _z(without), clusters)
    low, high = (np.tanh(end) for end in spread.ends(_z(r), confidence))
    p = spread.p(_z(r))
    if few := too_few(clusters):
        low, high, p = (np.full_like(r, np.nan) for _ in range(3))
    return ClusterCorrelations(
        called, r, low, high, p, kind, confidence, level=level, n_units=clusters.count, notes=(*notes, *few)
    )  # fmt: skip


def _clustered(
    columns: list[Array], labels: Any, names: tuple[str, ...]
) -> tuple[list[Array], Clusters, tuple[str, ...]]:
    """Complete rows and their clusters."""
    marks = np.asarray(labels).astype(str)
    if len(marks) != len(columns[0]):
        raise UserError(f"Expected a cluster for each of {len(columns[0])} rows, but got {len(marks)}. Pass one a row.")
    kept, keep, notes = paired(*columns, names=names)
    clusters = Clusters.of(marks[keep])
    if clusters.count < 2:
        raise UserError(f"Expected rows of two clusters or more, but all {len(kept[0])} are of {clusters.names[0]}.")
    return kept, clusters, notes


def correlation_by_cluster(
    x: Any, y: Any, labels: Any, *, kind: Kind = "spearman", names: Sequence[str] = (), level: Level = "cluster",
    confidence: float = 0.95,
) -> Correlation:  # fmt: skip
    """Spearman, Pearson or Kendall of two measures whose rows are kin; see :func:`correlations_by_cluster`.

    Raises
    ------
    UserError
        As :func:`correlations_by_cluster`.

    Examples
    --------
    >>> family = np.repeat(np.arange(6), 6)
    >>> rng = np.random.default_rng(0)
    >>> x = family + rng.normal(size=36)
    >>> found = correlation_by_cluster(x, x + 2 * rng.normal(size=36), family, kind="kendall")
    >>> print(found.estimate, found.level, found.n_units)
    0.419 [0.074, 0.691] (n = 6) cluster 6
    """
    (a, b), clusters, notes = _clustered([vector(x, "x"), vector(y, "y")], labels, ("x", "y"))
    keep, marks = np.isfinite(vector(x)) & np.isfinite(vector(y)), np.asarray(labels)
    kept = tuple(name for name, stays in zip(names, keep, strict=True) if stays) if len(names) else ()
    if kind != "kendall":
        both = np.stack([a, b], axis=1)
        found = correlations_by_cluster(both, marks[keep], kind=kind, names="xy", level=level, confidence=confidence)
        return replace(found.pair("x", "y", a, b, kept), notes=(*notes, *found.notes))
    value, low, high, p = _kendall(a, b, clusters, confidence)
    if few := too_few(clusters):
        low = high = p = float("nan")
    return Correlation(
        kind, Estimate(value, low, high, n=clusters.count, level=confidence), p, "cluster jackknife", a, b, kept,
        level=level, n_units=clusters.count, notes=(*notes, *few),
    )  # fmt: skip


def _kendall(x: Array, y: Array, clusters: Clusters, confidence: float) -> tuple[float, float, float, float]:
    whole, left = _tau_parts(x, y, clusters)
    value, without = (part[0] / np.sqrt(part[1] * part[2]) for part in (whole, left))
    spread = _spread(_z(value), _z(without), clusters)
    low, high = spread.ends(_z(value), confidence)
    return float(value), float(np.tanh(low)), float(np.tanh(high)), float(spread.p(_z(value)))


def slope_by_cluster(x: Any, y: Any, labels: Any, *, confidence: float = 0.95) -> Estimate:
    """Least-squares slope of ``y`` on ``x`` whose rows are kin; interval by delete-one-cluster jackknife.

    Its standard error is the cluster-robust one that is called CR3 or CV3J [1].

    Raises
    ------
    UserError
        As :func:`correlations_by_cluster`.

    Examples
    --------
    >>> family = np.repeat(np.arange(6), 6)
    >>> rng = np.random.default_rng(0)
    >>> x = family + rng.normal(size=36)
    >>> print(slope_by_cluster(x, 2 * x + rng.normal(size=36), family))
    1.901 [1.653, 2.166] (n = 6)

    References
    ----------
    [1] MacKinnon, Nielsen, Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust inference,
    Journal of Applied Econometrics 2023.
    """
    (a, b), clusters, _ = _clustered([vector(x, "x"), vector(y, "y")], labels, ("x", "y"))
    whole, left = _covariances(np.stack([a, b]), clusters)
    value, without = (np.asarray(part[..., 0, 1] / part[..., 0, 0]) for part in (whole, left))
    spread = _spread(value, without, clusters)
    low, high = (np.nan, np.nan) if too_few(clusters) else spread.ends(value, confidence)
    return Estimate(float(value), float(low), float(high), n=clusters.count, level=confidence)


def line_by_cluster(line: Line, labels: Any, *, level: Level = "cluster") -> Line:
    """A line of accuracies whose slope has its interval by cluster (in probit scale, as the line).

    Examples
    --------
    >>> from outfield.stats import accuracy_on_the_line
    >>> line = accuracy_on_the_line([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], [0.4, 0.52, 0.6, 0.71, 0.78, 0.9])
    >>> line_by_cluster(line, list("aabbcd")).notes[-1][:24]
    'No interval: 4 clusters '
    """
    slope = slope_by_cluster(stats.norm.ppf(line.x), stats.norm.ppf(line.y), labels, confidence=line.slope.level)
    few = too_few(Clusters.of(labels))
    return replace(line, slope=slope, level=level, n_units=slope.n, notes=(*line.notes, *few))


# --- between and within ---


@dataclass(frozen=True, eq=False)
class BetweenWithin(Result):
    """The correlation of cluster means, the pooled one of rows about their cluster's mean, and that of all rows.

    Examples
    --------
    >>> family = np.repeat(np.arange(8), 5)
    >>> step = np.tile(np.arange(5.0), 8)
    >>> wave = np.sin(np.arange(40))
    >>> found = between_within(3 * family + step, 3 * family - step + wave, family)
    >>> found.between.value > 0.99, found.within.value < -0.8, found.reverses
    (True, True, True)
    """

    between: Estimate
    within: Estimate
    rows: Estimate
    clusters: tuple[str, ...] = ()

    @property
    def reverses(self) -> bool:
        """Whether rows within clusters go the other way than clusters do, both beyond their intervals."""
        return self.between.low > 0 > self.within.high or self.between.high < 0 < self.within.low


def between_within(
    x: Any, y: Any, labels: Any, *, kind: Literal["spearman", "pearson"] = "pearson", level: Level = "cluster",
    confidence: float = 0.95,
) -> BetweenWithin:  # fmt: skip
    """Correlation between clusters and within them, each with its interval by cluster [1].

    Raises
    ------
    UserError
        As :func:`correlations_by_cluster`; no cluster has two rows.

    References
    ----------
    [1] Robinson, Ecological correlations and the behavior of individuals, American Sociological Review 1950.
    """
    (a, b), clusters, notes = _clustered([vector(x, "x"), vector(y, "y")], labels, ("x", "y"))
    both = stats.rankdata(np.stack([a, b]), axis=1) if kind == "spearman" else np.stack([a, b])
    several = clusters.sizes[clusters.codes] > 1
    if not several.any():
        raise UserError("Expected a cluster of two rows or more, but each has one. Pass the cluster of each row.")
    means, inside = clusters.means(both), clusters.within(both)[:, several]
    within = _within(inside, Clusters.of(clusters.codes[several]), confidence)
    rows = correlation_by_cluster(a, b, clusters.codes, kind=kind, confidence=confidence)
    return BetweenWithin(
        _between(means, confidence),
        within,
        rows.estimate,
        clusters.names,
        level=level,
        n_units=clusters.count,
        notes=notes,
    )


def _between(means: Array, confidence: float) -> Estimate:
    """Of the means of clusters, each a unit; of fewer than five without an interval."""
    if means.shape[1] < LEAST:
        return Estimate(float(_as_correlations(_products(means))[0, 1]), n=means.shape[1], level=confidence)
    alone = np.arange(means.shape[1])
    return correlation_by_cluster(means[0], means[1], alone, kind="pearson", confidence=confidence).estimate


def _within(inside: Array, clusters: Clusters, confidence: float) -> Estimate:
    """Of deviations from cluster means: products add up over clusters, and none moves when another is left out."""
    each = np.stack([inside[:, rows] @ inside[:, rows].T for rows in clusters.members])
    whole = each.sum(axis=0)
    r, left = _as_correlations(whole)[0, 1], _as_correlations(whole - each)[:, 0, 1]
    spread = _spread(_z(r), _z(left), clusters)
    low, high = (np.nan, np.nan) if too_few(clusters) else map(np.tanh, spread.ends(_z(r), confidence))
    return Estimate(float(r), float(low), float(high), n=clusters.count, level=confidence)
