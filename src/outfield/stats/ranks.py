"""Which detector (treatment) ranks best: mean ranks, Friedman, post-hoc comparisons, ranking models.

Every function reads a matrix ``scores`` [blocks, treatments]; a block is an independent unit (model,
strategy). Rank 1 is best; ties share their mean rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Level, Result
from outfield.stats.multiplicity import holm
from outfield.stats.units import Panel, resample_weights, unit_means
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


def ranks(scores: Array, *, higher_is_better: bool = True) -> Array:
    """Ranks along the last axis, 1 the best, ties averaged; what differs in the twelfth decimal alone ties.

    Examples
    --------
    >>> ranks(np.array([[0.1 + 0.2, 0.1, 0.3]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    rounded = np.round(scores, 12)
    return np.asarray(stats.rankdata(-rounded if higher_is_better else rounded, axis=-1))


def _matrix(scores: Any, names: Sequence[str], least: int = 2) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    matrix = np.asarray(scores, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise UserError(f"Expected scores [blocks, treatments >= 2], but got shape {matrix.shape}. Pass a matrix.")
    labels = tuple(names) or tuple(f"treatment {i}" for i in range(matrix.shape[1]))
    if len(labels) != matrix.shape[1]:
        raise UserError(f"Expected {matrix.shape[1]} names, but got {len(labels)}. Name every column.")
    keep = np.isfinite(matrix).all(axis=1)
    notes = () if keep.all() else (f"Dropped {int((~keep).sum())} of {len(keep)} blocks with a missing value.",)
    if keep.sum() < least:
        raise UserError(f"Expected at least {least} complete blocks, but got {keep.sum()}. Add units.")
    return matrix[keep], labels, notes


# --- mean ranks -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MeanRanks(Result):
    """Mean rank of every treatment with its interval, best first; ``critical_difference`` is Nemenyi's.

    Examples
    --------
    >>> found = mean_ranks(np.array([[0.9, 0.8], [0.9, 0.7], [0.6, 0.7]]), names=["knn", "msp"])
    >>> found.names, [round(one.value, 2) for one in found.estimates]
    (('knn', 'msp'), [1.33, 1.67])
    """

    names: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    critical_difference: float = float("nan")
    interval: str = "jackknife"

    def frame(self) -> pl.DataFrame:
        import polars as pl

        rows = zip(self.names, self.estimates, strict=True)
        return pl.DataFrame([{"name": name, "mean_rank": e.value, "low": e.low, "high": e.high} for name, e in rows])

    def plot(self) -> alt.TopLevelMixin:
        """Mean ranks with intervals; the bar is the critical difference."""
        from outfield.stats import _plots

        named = dict(zip(self.names, self.estimates, strict=True))
        return _plots.mean_ranks(named, self.critical_difference, units=f"{self.n_units} units ({self.level})")


def mean_ranks(
    scores: Any,
    *,
    group: Any = None,
    names: Sequence[str] = (),
    categories: Sequence[str] | None = None,
    higher_is_better: bool = True,
    interval: Literal["jackknife", "percentile", "basic", "bc"] = "jackknife",
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> MeanRanks:
    """Mean ranks over models with intervals from resampled units, which end at rank 1 and at the last one.

    Treatments are ranked within every model (and every further axis, say OOD set), ranks are averaged
    over those axes, then over the models of a unit, then over units.

    Parameters
    ----------
    scores : array [models, ..., treatments] or Panel
        A panel's last axis is the treatments'; its groups are its units.
    group : vector [models], optional
        The strategy of each model: strategies, then models, are resampled.
    names : names of the treatments
    categories : sequence of a category for each unit, optional
        Weigh every category equally, however many units it has.
    higher_is_better : bool
    interval : ``jackknife`` (over units, Student's t), ``percentile``, ``basic`` or ``bc``
    draws, seed : resamples of the bootstrap kinds: units, then models within each
    confidence : of the intervals

    Raises
    ------
    UserError
        Fewer than two treatments or units, or missing values.

    Examples
    --------
    >>> found = mean_ranks(np.array([[0.9, 0.8, 0.1], [0.7, 0.8, 0.2], [0.9, 0.6, 0.3]]), names=["a", "b", "c"])
    >>> found.frame()["mean_rank"].round(2).to_list()
    [1.33, 1.67, 3.0]
    """
    values, ids, labels, level = _source(scores, group, names)
    within = ranks(values, higher_is_better=higher_is_better)
    within = within.mean(axis=tuple(range(1, within.ndim - 1)))
    weights = _category_weights(categories, int(ids.max()) + 1)
    value = weights @ unit_means(within, ids)
    if interval == "jackknife":
        ends = _jackknife_ends(unit_means(within, ids), categories, confidence)
    else:
        drawn = resample_weights(ids, draws, seed=seed, width=within.shape[1])
        samples = np.concatenate([_weighted(each @ within, each, ids, weights) for each in drawn])
        ends = intervals.resampled(value, samples, kind=interval, confidence=confidence)
    units = len(weights)
    order = np.argsort(value, kind="stable")
    ends = np.clip(ends, 1, len(value))
    estimates = tuple(intervals.estimate(value[i], ends[i], units, confidence=confidence) for i in order)
    difference = critical_difference(len(value), units, confidence=confidence)
    note = () if categories is None else ("Every category weighs the same.",)
    return MeanRanks(
        tuple(labels[i] for i in order), estimates, difference, interval, level=level, n_units=units, notes=note
    )


def _source(scores: Any, group: Any, names: Sequence[str]) -> tuple[Array, Array, tuple[str, ...], Level]:
    if isinstance(scores, Panel):
        last = list(scores.axes.values())[-1]
        return scores.sound.values, scores.group, tuple(names) or last, scores.level
    values = np.asarray(scores, dtype=float)
    if values.ndim < 2 or len(values) < 2 or values.shape[-1] < 2 or not np.isfinite(values).all():
        raise UserError(
            f"Expected finite scores [models >= 2, ..., treatments >= 2], but got shape {values.shape} with "
            f"{int((~np.isfinite(values)).sum())} missing. Make a complete panel first."
        )
    ids = np.arange(len(values)) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    labels = tuple(names) or tuple(f"treatment {i}" for i in range(values.shape[-1]))
    return values, ids, labels, "model" if int(ids.max()) + 1 == len(ids) else "strategy"


def _category_weights(categories: Sequence[str] | None, units: int) -> Array:
    if categories is None:
        return np.full(units, 1 / units)
    if len(categories) != units:
        raise UserError(f"Expected a category for each of {units} units, but got {len(categories)}. Pass one per unit.")
    _, code, count = np.unique(np.asarray(categories), return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(count) * count[code]))


def _jackknife_ends(units: Array, categories: Sequence[str] | None, confidence: float) -> Array:
    """Intervals of weighted means of ``units`` [units, treatments]; with categories, units are drawn within them."""
    labels = np.zeros(len(units), dtype=int) if categories is None else np.unique(categories, return_inverse=True)[1]
    sizes = np.bincount(labels)
    sums = np.stack([units[labels == each].sum(axis=0) for each in range(len(sizes))])
    out = np.flatnonzero(sizes[labels] > 1)
    own, count = labels[out], sizes[labels[out]][:, None]
    moved = (sums[own] - units[out]) / (count - 1) - sums[own] / count
    value = (sums / sizes[:, None]).mean(axis=0)
    return intervals.jackknife(value, value + moved / len(sizes), strata=own, confidence=confidence)


def _weighted(drawn: Array, mix: Array, ids: Array, weights: Array) -> Array:
    """Weighted mean over drawn units; a drawn unit carries its own weight along."""
    own = weights[ids[mix.argmax(axis=2)]]
    return np.asarray(np.einsum("bu,bud->bd", own / own.sum(axis=1, keepdims=True), drawn))


@cache
def critical_difference(treatments: int, blocks: int, *, confidence: float = 0.95) -> float:
    """Nemenyi's critical difference of mean ranks, ``q / sqrt(2) sqrt(k (k + 1) / (6 n))`` [1].

    Examples
    --------
    >>> round(critical_difference(5, 30), 3)
    1.114

    References
    ----------
    [1] Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    q = stats.studentized_range.ppf(confidence, treatments, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(treatments * (treatments + 1) / (6 * blocks)))


# --- Friedman -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Friedman(Result):
    """Friedman's chi2 with Iman and Davenport's F and Kendall's W; their p-values.

    Examples
    --------
    >>> found = friedman([[0.9, 0.8, 0.1]] * 5, names=["a", "b", "c"])
    >>> found.w, found.mean_ranks.tolist()
    (1.0, [1.0, 2.0, 3.0])
    """

    chi2: float
    p_chi2: float
    w: float
    f: float
    p: float
    blocks: int
    treatments: int
    mean_ranks: Array
    names: tuple[str, ...]
    critical_difference: float

    def plot(self) -> alt.TopLevelMixin:
        """The critical-difference diagram."""
        from outfield.stats import _plots

        return _plots.critical_difference(self.names, self.mean_ranks, self.critical_difference)


def friedman(
    scores: Any,
    *,
    names: Sequence[str] = (),
    higher_is_better: bool = True,
    level: Level = "model",
    confidence: float = 0.95,
) -> Friedman:
    """Friedman's test that all treatments rank alike, with Iman and Davenport's F [1] and Kendall's W.

    ``W = chi2 / (n (k - 1))``; ``F = (n - 1) chi2 / (n (k - 1) - chi2)`` on k - 1 and (k - 1)(n - 1)
    degrees of freedom. Blocks with a missing value are dropped, and noted.

    Parameters
    ----------
    scores : matrix [blocks n, treatments k]
    level : what a block is; data sets within models are no independent blocks

    Raises
    ------
    UserError
        Fewer than two complete blocks or treatments.

    Examples
    --------
    >>> found = friedman([[0.9, 0.8, 0.1], [0.7, 0.8, 0.2], [0.9, 0.6, 0.3], [0.9, 0.8, 0.3]])
    >>> round(found.chi2, 2), round(found.w, 4), round(found.f, 2)
    (6.5, 0.8125, 13.0)

    References
    ----------
    [1] Iman, Davenport, Approximations of the critical region of the Friedman statistic, Comm. Stat. 1980.
    """
    matrix, labels, notes = _matrix(scores, names)
    n, k = matrix.shape
    mean = ranks(matrix, higher_is_better=higher_is_better).mean(axis=0)
    chi2, p_chi2 = _chi2(matrix)
    w = chi2 / (n * (k - 1))
    f = (n - 1) * w / (1 - w) if w < 1 else float("inf")
    p = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    difference = critical_difference(k, n, confidence=confidence)
    return Friedman(
        chi2, p_chi2, w, f, p, n, k, mean, labels, difference, level=level, n_units=n, notes=notes
    )  # fmt: skip


def _chi2(matrix: Array) -> tuple[float, float]:
    if np.ptp(matrix, axis=1).max() == 0:
        return 0.0, 1.0
    if matrix.shape[1] == 2:
        return _chi2_of_two(matrix)
    found = stats.friedmanchisquare(*matrix.T)
    return float(found.statistic), float(found.pvalue)


def _chi2_of_two(matrix: Array) -> tuple[float, float]:
    sign = np.sign(matrix[:, 0] - matrix[:, 1])
    chi2 = float(sign.sum() ** 2 / (sign**2).sum())
    return chi2, float(stats.chi2.sf(chi2, 1))


# --- post hoc ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs(Result):
    """All pairwise comparisons of treatments: difference of mean ranks and corrected p.

    Examples
    --------
    >>> found = nemenyi([[0.9, 0.8], [0.7, 0.6], [0.9, 0.6]], names=["a", "b"])
    >>> found.frame().select("first", "second", "difference").rows()
    [('a', 'b', -1.0)]
    """

    method: str
    names: tuple[str, ...]
    difference: Array
    p: Array

    def frame(self) -> pl.DataFrame:
        import polars as pl

        i, j = np.triu_indices(len(self.names), 1)
        return pl.DataFrame({
            "first": [self.names[a] for a in i], "second": [self.names[b] for b in j],
            "difference": self.difference[i, j], "p": self.p[i, j],
        })  # fmt: skip

    def plot(self) -> alt.TopLevelMixin:
        """A matrix of corrected p-values."""
        from outfield.stats import _plots

        return _plots.matrix(self.names, self.p, title=f"{self.method}: p ({self.correction})", domain=(0.0, 0.2))


def nemenyi(scores: Any, *, names: Sequence[str] = (), higher_is_better: bool = True, level: Level = "model") -> Pairs:
    """Nemenyi's comparisons after Friedman: the studentized range holds the chance of any false one.

    Parameters and errors as in :func:`friedman`.

    Examples
    --------
    >>> found = nemenyi([[0.9, 0.8, 0.1], [0.7, 0.8, 0.2], [0.9, 0.6, 0.3], [0.9, 0.8, 0.3]], names=["a", "b", "c"])
    >>> found.frame()["p"].round(3).to_list()
    [0.759, 0.036, 0.181]
    """
    matrix, labels, notes = _matrix(scores, names)
    n, k = matrix.shape
    mean = ranks(matrix, higher_is_better=higher_is_better).mean(axis=0)
    difference = mean[:, None] - mean[None, :]
    i, j = np.triu_indices(k, 1)
    q = np.abs(difference[i, j]) / np.sqrt(k * (k + 1) / (6 * n))
    p = np.ones((k, k))
    p[i, j] = p[j, i] = np.clip(stats.studentized_range.sf(q * np.sqrt(2), k, np.inf), 0, 1)
    return Pairs("Nemenyi", labels, difference, p, level=level, n_units=n, notes=notes,
                 correction=f"studentized range over {k * (k - 1) // 2} pairs")  # fmt: skip


def conover(scores: Any, *, names: Sequence[str] = (), higher_is_better: bool = True, level: Level = "model") -> Pairs:
    """Conover's comparisons after Friedman, corrected by Holm: more power than Nemenyi's.

    ``t = |R_i - R_j| / sqrt(2 (n A - sum R^2) / ((n - 1)(k - 1)))``, R the rank sums, A the sum of
    squared ranks [1]. Parameters and errors as in :func:`friedman`.

    Examples
    --------
    >>> found = conover([[0.9, 0.8, 0.1], [0.7, 0.8, 0.2], [0.9, 0.6, 0.3], [0.9, 0.8, 0.3]], names=["a", "b", "c"])
    >>> found.frame()["p"].round(3).to_list()
    [0.207, 0.008, 0.025]

    References
    ----------
    [1] Conover, Practical nonparametric statistics, 1999, section 5.8.
    """
    matrix, labels, notes = _matrix(scores, names)
    n, k = matrix.shape
    within = ranks(matrix, higher_is_better=higher_is_better)
    sums = within.sum(axis=0)
    spread = max(2 * (n * (within**2).sum() - (sums**2).sum()) / ((n - 1) * (k - 1)), 0.0)
    difference = (sums[:, None] - sums[None, :]) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(np.abs(difference) * n / np.sqrt(spread), nan=0.0, posinf=np.inf)
    i, j = np.triu_indices(k, 1)
    p = np.ones((k, k))
    p[i, j] = p[j, i] = holm(2 * stats.t.sf(t[i, j], (n - 1) * (k - 1)))
    return Pairs("Conover", labels, difference, p, level=level, n_units=n, notes=notes,
                 correction=f"Holm over {len(i)} pairs")  # fmt: skip


# --- ranking models ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Strengths(Result):
    """Worth of every treatment (they sum to 1) under a ranking model, best first.

    Examples
    --------
    >>> found = bradley_terry([[3, 1], [3, 1], [3, 1], [1, 3]], names=["a", "b"])
    >>> found.names, round(found.worth[0].value, 2)
    (('a', 'b'), 0.75)
    """

    method: str
    names: tuple[str, ...]
    worth: tuple[Estimate, ...]

    def frame(self) -> pl.DataFrame:
        import polars as pl

        rows = zip(self.names, self.worth, strict=True)
        return pl.DataFrame([{"name": name, "worth": e.value, "low": e.low, "high": e.high} for name, e in rows])

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        return _plots.estimates(dict(zip(self.names, self.worth, strict=True)), title=f"{self.method}: worth")


def plackett_luce(
    scores: Any, *, names: Sequence[str] = (), higher_is_better: bool = True, draws: int = 0, seed: int = 0,
    pseudo: float | None = None, level: Level = "model",
) -> Strengths:  # fmt: skip
    """Plackett-Luce worths by Hunter's MM: P(ranking) = product of worth / sum of worths still to rank [1].

    Ties are broken at random (seeded), and noted. When the win graph is not strongly connected the
    likelihood has no maximum: then, or when ``pseudo`` is given, every treatment also wins and loses
    ``pseudo`` (0.1) times against an imagined one.

    Parameters
    ----------
    scores : matrix [blocks, treatments]
    draws : bootstrap resamples over blocks for intervals; 0 for none
    pseudo : pseudo-count; None for only when needed

    Raises
    ------
    UserError
        Fewer than two complete blocks or treatments.

    Examples
    --------
    >>> found = plackett_luce([[3, 2, 1], [3, 2, 1], [2, 3, 1], [1, 2, 3]], names=["a", "b", "c"])
    >>> found.frame()["worth"].round(2).to_list()
    [0.46, 0.43, 0.11]

    References
    ----------
    [1] Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 2004.
    """
    matrix, labels, notes = _matrix(scores, names)
    rng = np.random.default_rng(seed)
    tied = int((np.diff(np.sort(matrix, axis=1), axis=1) == 0).sum())
    notes = (*notes, f"Broke {tied} ties at random.") if tied else notes
    sign = -1.0 if higher_is_better else 1.0
    orders = np.lexsort(np.stack([rng.random(matrix.shape), sign * matrix]), axis=1)
    return _strengths(
        "Plackett-Luce",
        orders,
        labels,
        _luce_worth,
        _order_wins(orders),
        draws=draws,
        seed=seed,
        pseudo=pseudo,
        level=level,
        notes=notes,
    )


def bradley_terry(
    scores: Any, *, names: Sequence[str] = (), higher_is_better: bool = True, draws: int = 0, seed: int = 0,
    pseudo: float | None = None, level: Level = "model",
) -> Strengths:  # fmt: skip
    """Bradley-Terry worths by Hunter's MM: P(i beats j) = worth_i / (worth_i + worth_j); a tie is half a win each.

    Parameters and errors as in :func:`plackett_luce`.

    Examples
    --------
    >>> found = bradley_terry([[3, 1], [3, 1], [1, 3]], names=["a", "b"])
    >>> found.frame()["worth"].round(3).to_list()
    [0.667, 0.333]
    """
    matrix, labels, notes = _matrix(scores, names)
    sign = 1.0 if higher_is_better else -1.0
    margin = sign * (matrix[:, :, None] - matrix[:, None, :])
    wins = (margin > 0) + 0.5 * (margin == 0) * ~np.eye(matrix.shape[1], dtype=bool)
    return _strengths(
        "Bradley-Terry",
        wins,
        labels,
        _terry_worth,
        wins.sum(axis=0),
        draws=draws,
        seed=seed,
        pseudo=pseudo,
        level=level,
        notes=notes,
    )


def _strengths(
    method: str, blocks: Array, labels: tuple[str, ...], fit: Any, wins: Array, *, draws: int, seed: int,
    pseudo: float | None, level: Level, notes: tuple[str, ...],
) -> Strengths:  # fmt: skip
    count = pseudo if pseudo is not None else 0.0 if _connected(wins) else 0.1
    said = (
        (f"Added {count:g} pseudo-wins and losses each: not every treatment is linked to every other.",)
        if count
        else ()
    )
    worth = fit(blocks, count)
    ends = np.full((len(worth), 2), np.nan)
    if draws:
        rng = np.random.default_rng(seed)
        picks = rng.integers(len(blocks), size=(draws, len(blocks)))
        samples = np.stack([fit(blocks[pick], max(count, 0.1)) for pick in picks])
        ends = intervals.resampled(worth, samples, kind="percentile")
    order = np.argsort(-worth, kind="stable")
    estimates = tuple(intervals.estimate(worth[i], ends[i], len(blocks)) for i in order)
    return Strengths(
        method, tuple(labels[i] for i in order), estimates, level=level, n_units=len(blocks), notes=(*notes, *said)
    )


def _order_wins(orders: Array) -> Array:
    place = np.argsort(orders, axis=1)
    return np.asarray((place[:, :, None] < place[:, None, :]).sum(axis=0), dtype=float)


def _connected(wins: Array) -> bool:
    from scipy.sparse.csgraph import connected_components

    parts, _ = connected_components(wins > 0, directed=True, connection="strong")
    return int(parts) == 1


def _luce_worth(orders: Array, pseudo: float, tolerance: float = 1e-10, most: int = 5000) -> Array:
    k = orders.shape[1]
    won = np.bincount(orders[:, :-1].ravel(), minlength=k) + pseudo
    place = np.argsort(orders, axis=1)
    worth = np.full(k, 1 / k)
    for _ in range(most):
        ahead = np.cumsum(worth[orders][:, ::-1], axis=1)[:, ::-1]
        passed = np.cumsum(1 / ahead[:, :-1], axis=1)
        at = np.minimum(place, k - 2)
        share = np.take_along_axis(passed, at, axis=1).sum(axis=0) + 2 * pseudo / (worth + 1 / k)
        new = won / share
        new /= new.sum()
        if np.abs(new - worth).max() < tolerance:
            return np.asarray(new)
        worth = new
    return worth


def _terry_worth(wins: Array, pseudo: float, tolerance: float = 1e-10, most: int = 5000) -> Array:
    table = wins.sum(axis=0)
    games, won = table + table.T, table.sum(axis=1) + pseudo
    k = len(won)
    worth = np.full(k, 1 / k)
    for _ in range(most):
        share = (games / (worth[:, None] + worth[None, :])).sum(axis=1) + 2 * pseudo / (worth + 1 / k)
        new = won / share
        new /= new.sum()
        if np.abs(new - worth).max() < tolerance:
            return np.asarray(new)
        worth = new
    return worth
