"""Does a correlation within runs depend on which checkpoints are taken? The estimate over every window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError
from outfield.stats.base import Result
from outfield.stats.runs import Runs, mean_over_runs
from outfield.types import Array

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

LEAST_POINTS = 6
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Windows(Result):
    """The linear partial correlation of two measures within runs, over windows that begin at every start.

    Parameters
    ----------
    starts : array [W]
        The step from which on checkpoints are taken.
    per_run : array [runs, W]
        NaN where a run has fewer than six checkpoints left, or a measure does not move.
    mean, low, high : array [W]
        Mean over runs in Fisher z, with Student's interval over the units (runs, or clusters of kin).
    units : array [W]
        How many units each mean is over.

    Examples
    --------
    >>> t = np.arange(20.0)
    >>> wave = np.where(t < 8, np.sin(9 * t), 0) + np.cos(5 * t) / 9
    >>> found = windows([wave, wave], [wave, -wave], [t, t], steps=[t, t])
    >>> found.per_run[:, 0].round(2).tolist(), found.stable
    ([1.0, -1.0], True)
    """

    starts: Array
    per_run: Array
    mean: Array
    low: Array
    high: Array
    units: Array

    @property
    def positive(self) -> Array:
        """How many runs are positive at each start."""
        return np.asarray((self.per_run > 0).sum(axis=0))

    @property
    def runs(self) -> Array:
        """How many runs have an estimate at each start."""
        return np.asarray(np.isfinite(self.per_run).sum(axis=0))

    @property
    def comparable(self) -> Array:
        """The starts from which every unit has an estimate: where fewer have, the mean may turn because some left."""
        return np.asarray((self.units == self.units.max(initial=0)) & np.isfinite(self.mean))

    @property
    def turns(self) -> tuple[float, ...]:
        """The comparable starts from which on the mean has another sign than from the one before."""
        known = np.flatnonzero(self.comparable)
        signs = np.sign(self.mean[known])
        return tuple(float(self.starts[known[i + 1]]) for i in np.flatnonzero(signs[1:] * signs[:-1] < 0))

    @property
    def stable(self) -> bool:
        """Whether the mean has one sign from every comparable start."""
        return not self.turns

    @property
    def decides(self) -> bool:
        """Whether the interval lies above 0 from one comparable start and below 0 from another."""
        known = self.comparable
        return bool((self.low[known] > 0).any() and (self.high[known] < 0).any())

    def frame(self) -> pl.DataFrame:
        """A row a start: start, mean, low, high, positive, runs, units."""
        import polars as pl

        columns = {"start": self.starts, "mean": self.mean, "low": self.low, "high": self.high}
        counts = {"positive": self.positive, "runs": self.runs, "units": self.units}
        return pl.DataFrame(columns | counts).fill_nan(None)

    def plot(self) -> alt.TopLevelMixin:
        """The mean against the start, with its band."""
        import altair as alt

        base = alt.Chart(self.frame()).encode(x=alt.X("start:Q", scale=alt.Scale(type="symlog")))
        return alt.layer(
            base.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q"), base.mark_line().encode(y="mean:Q")
        )


def windows(
    a: Runs, b: Runs, given: Runs, *, steps: Sequence[Any] | Array, starts: Any = None,
    clusters: Sequence[str] = (), confidence: float = 0.95,
) -> Windows:  # fmt: skip
    """The linear partial correlation within runs from every start point to the end of each run.

    Parameters
    ----------
    a, b, given : a sequence of vectors, one a run; each run's are of equal length
    steps : a sequence of vectors, one a run, rising
    starts : the steps at which windows begin; all steps of all runs where left out
    clusters : what each run is kin to: kin are averaged before the mean and its interval

    The interval is pointwise: each holds its truth in 95 of 100 studies, not all of them at once.

    Raises
    ------
    UserError
        Fewer than two runs; vectors of unequal length; no run with six checkpoints.

    Examples
    --------
    >>> a, b, given = np.random.default_rng(1).normal(size=(3, 6, 30))
    >>> found = windows(a, b, given, steps=[range(30)] * 6)
    >>> found.per_run.shape, found.n_units, bool(found.low[0] < 0 < found.high[0])
    ((6, 25), 6, True)
    """
    at = [np.asarray(each, float) for each in steps]
    tables = [np.stack([np.asarray(c, float) for c in columns]) for columns in _alike(a, b, given, at)]
    begin = starting_points(at) if starts is None else np.asarray(starts, float)
    per_run = np.stack([partial_from(table, when, begin)[:, 0, 1] for table, when in zip(tables, at, strict=True)])
    return over_runs(per_run, begin, clusters, confidence)


def over_runs(per_run: Array, starts: Array, clusters: Sequence[str] = (), confidence: float = 0.95) -> Windows:
    """The windows of correlations that are known for each run, [runs, W].

    Examples
    --------
    >>> over_runs(np.array([[0.5, -0.5], [0.5, -0.5]]), np.array([0.0, 9.0])).turns
    (9.0,)
    """
    mean, low, high, units = mean_over_runs(per_run, clusters, confidence)
    return Windows(starts, per_run, mean, low, high, units, level="run", n_units=int(units.max(initial=0)))


def _alike(a: Runs, b: Runs, given: Runs, steps: list[Array]) -> list[tuple[Any, Any, Any]]:
    if len(steps) < 2 or len({len(steps), len(a), len(b), len(given)}) > 1:
        raise UserError(
            f"Expected the same number of runs (at least two), but got {len(a)}, {len(b)}, {len(given)} and "
            f"{len(steps)} vectors of steps. Pass all runs."
        )
    runs = list(zip(a, b, given, strict=True))
    for columns, at in zip(runs, steps, strict=True):
        if len({len(at), *map(len, columns)}) > 1:
            raise UserError(
                f"Expected a value of each measure at each of {len(at)} steps. Cut the run to complete steps."
            )
    return runs


def starting_points(steps: Sequence[Array], most: int = 200) -> Array:
    """The steps of all runs from which on at least one has six checkpoints; ``most`` of them, evenly by rank.

    Raises
    ------
    UserError
        No run has six checkpoints.

    Examples
    --------
    >>> starting_points([np.arange(8.0), np.arange(0.0, 14.0, 2.0)]).tolist()
    [0.0, 1.0, 2.0]
    """
    known = [at[: len(at) - LEAST_POINTS + 1] for at in steps if len(at) >= LEAST_POINTS]
    if not known:
        raise UserError(f"Expected a run with at least {LEAST_POINTS} checkpoints, but got none. Add checkpoints.")
    points = np.unique(np.concatenate(known))
    return (
        points[np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))] if len(points) > most else points
    )


def partial_from(table: Array, steps: Array, starts: Array, ends: Array | None = None) -> Array:
    """Linear partial correlations of all pairs of measures given the last, over windows of one run: [W, k, k].

    ``table`` [k + 1, T]; the last row is what is given. Window *w* holds the steps from ``starts[w]`` to ``ends[w]``
    (the last step where left out). The moments of a window are differences of cumulative sums, so that all windows
    cost as much as one. NaN where fewer than six checkpoints are left, or where a measure moves no more than by
    rounding.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = rng.normal(size=(3, 20))
    >>> whole, last = partial_from(table, np.arange(20.0), np.array([0.0, 15.0]))
    >>> bool(abs(whole[0, 1]) < 1), bool(np.isnan(last[0, 1]))
    (True, True)
    """
    first = np.searchsorted(steps, starts)
    last = np.full(len(starts), len(steps)) if ends is None else np.searchsorted(steps, ends, side="right")
    moments = _moments(table, first, np.maximum(last, first))
    cross = moments[:, -1:, :-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        left = moments[:, :-1, :-1] - np.swapaxes(cross, 1, 2) * cross / moments[:, -1:, -1:]
        spread = np.einsum("wkk->wk", left)
        scale = np.einsum("wkk->wk", moments)
        moved = (spread > ROUNDING * table.shape[1] * table.var(axis=1)[:-1]) & (scale[:, -1:] > 0)
        spread = np.sqrt(np.where(moved & (last - first >= LEAST_POINTS)[:, None], spread, np.nan))
        return np.asarray(np.clip(left / (spread[:, :, None] * spread[:, None, :]), -1, 1))


def _moments(table: Array, first: Array, last: Array) -> Array:
    """Sums of products about the means of each window, [W, k, k]."""
    own = (table - table.mean(axis=1, keepdims=True)).T
    sums = np.concatenate([np.zeros((1, own.shape[1])), own.cumsum(axis=0)])
    products = np.concatenate([
        np.zeros((1, own.shape[1], own.shape[1])), (own[:, :, None] * own[:, None, :]).cumsum(axis=0)
    ])  # fmt: skip
    total, count = sums[last] - sums[first], np.maximum(last - first, 1)[:, None, None]
    return np.asarray(products[last] - products[first] - total[:, :, None] * total[:, None, :] / count)
