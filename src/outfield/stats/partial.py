"""Do two OOD measures go together once the ID measure is known? Partial correlations and their tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Level, Result, paired
from outfield.stats.multiplicity import benjamini_hochberg
from outfield.stats.relate import correlations
from outfield.stats.smooth import SMOOTHERS, Smoother, left_over
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

LEAST_FREE = 1.5
"""Degrees of freedom of residuals from which their correlation is not 1 or -1 whatever the measures are."""


@dataclass(frozen=True, eq=False)
class PartialCorrelation(Result):
    """Correlation of two measures given a third, by every smoother, beside the plain one.

    ``estimates`` maps plain and every smoother's name to estimates; ``p`` likewise (two-sided).

    Examples
    --------
    >>> x = np.linspace(0, 1, 12)
    >>> found = partial_correlation(x + np.sin(40 * x) / 9, x - np.sin(40 * x) / 9, x)
    >>> {kind: round(one.value, 1) for kind, one in found.estimates.items()}
    {'plain': 0.9, 'linear': -1.0, 'rank': -0.8, 'cubic': -1.0, 'natural': -1.0, 'spline': -1.0}
    """

    estimates: dict[str, Estimate]
    p: dict[str, float]
    residuals: dict[str, tuple[Array, Array]]
    names: tuple[str, ...] = ()

    @property
    def sign_differs(self) -> bool:
        """Whether the smoothers that have a value disagree about the sign, by at least .1."""
        values = [each.value for kind, each in self.estimates.items() if kind != "plain" and not np.isnan(each.value)]
        return bool(values) and min(values) < 0 < max(values) and max(values) - min(values) >= 0.1

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
    """Correlation of ``a`` and ``b`` given ``given``, by every smooth of it, and the plain one beside them.

    Smooths: a line; a line through ranks; a cubic polynomial; a natural cubic spline with knots at the ends and
    quartiles; a smoothing spline. Each one's residuals are correlated. Intervals by Fisher z, with one unit fewer for
    the ID measure, of a curve as many as it took degrees of freedom (rank: Bonett and Wright's). Not known where a
    smooth leaves nothing over, or one degree of freedom, in which any two residuals correlate by 1 or -1. The sign can
    differ between smoothers: read all of them. A noisy ID measure fakes a positive value: see
    :func:`errors_in_variables`. Points of a trajectory are no independent units: see :func:`within_runs`.

    Parameters
    ----------
    a, b, given : vectors [n]
    smoothers : which of linear, rank, cubic, natural and spline; leave all in unless only one is asked for
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
    ([0.4, -0.02, 0.0, -0.03, -0.02, -0.02], False)
    """
    (u, v, x), keep, notes = paired(a, b, given, names=("a", "b", "given"), least=6)
    smooths = {kind: (left_over(u, x, kind), left_over(v, x, kind)) for kind in smoothers}
    left: dict[str, tuple[Array, Array]] = {kind: (first[0], second[0]) for kind, (first, second) in smooths.items()}
    spent = {"plain": 0.0} | {kind: max(first[1], second[1]) for kind, (first, second) in smooths.items()}
    every = {"plain": _plain(u, v, confidence)}
    for kind, pair in left.items():
        value = float(correlations(*pair, "pearson")) if len(u) - 1 - spent[kind] >= LEAST_FREE else float("nan")
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
    """Partial correlations of every pair of measures given one: [k, k], with p corrected over pairs.

    Examples
    --------
    >>> x = np.linspace(0, 1, 12)
    >>> wave = np.sin(40 * x) / 9
    >>> found = partial_matrix(np.stack([x + wave, x - wave], axis=1), x, names=["near", "far"])
    >>> found.frame().select("first", "second", "partial").rows()
    [('near', 'far', -1.0)]
    """

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
