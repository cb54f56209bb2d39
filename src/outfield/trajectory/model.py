"""The runs of one model along training, and what two of their measures have in common once ID is taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import factorial
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.stats.measurement_error import corrected_partial, item_error, reliability
from outfield.stats.partial import partial_correlation
from outfield.stats.runs import LEAST_RUNS, UNKNOWN, conditional_p, mean_over_runs, of_clusters, sign_test
from outfield.stats.series import circular_shift_test
from outfield.stats.smooth import Smoother, residuals
from outfield.stats.windows import LEAST_POINTS, Windows, over_runs, partial_from, starting_points
from outfield.types import Array, Estimate

ID = "ID"
EXACT = "p takes ID accuracy for exact: its items are not there"
Series: TypeAlias = "Array | tuple[Array, ...]"
"""A measure: [runs, T] where all runs have the same steps, else a vector a run; NaN in a run that has it not."""
MOST_MOMENTS = 5_000_000
"""Correlations that are kept over all windows of a model: of many measures fewer starts are taken."""


@dataclass(frozen=True, eq=False)
class Model:
    """The runs of one model, the step before training left out.

    Parameters
    ----------
    name : str
    runs : tuple of str
    steps : array [T], or a vector a run
        The steps that all runs have, or those of each.
    id : array [runs, T], or a vector a run
        ID accuracies.
    values : mapping of measure to the same
        Accuracies of the other sets and AUROCs.
    correct : mapping of set to array [runs, T, n]
        Whether each item was right; the ID set is ``ID``.
    halves : mapping of measure to array [2, runs, T]
        AUROCs on disjoint halves of the items of both sides.
    detected : frozenset of str
        Which measures are AUROCs.
    clusters : tuple of str
        What each run is kin to: kin are one unit of inference. Empty where each run stands alone.
    error_variances : mapping of measure to a number a run
        Of its values along the run, where standard errors of cells say so; the ID measure is ``ID``.
    items : mapping of measure to how many items it is over, where they are known without the items themselves
    """

    name: str
    runs: tuple[str, ...]
    steps: Series
    id: Series
    values: Mapping[str, Series]
    correct: dict[str, Array] = field(default_factory=dict)
    halves: dict[str, Array] = field(default_factory=dict)
    detected: frozenset[str] = frozenset()
    clusters: tuple[str, ...] = ()
    error_variances: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    items: Mapping[str, float] = field(default_factory=dict)

    @property
    def steps_of_runs(self) -> tuple[Array, ...]:
        """The steps of each run."""
        return self.steps if isinstance(self.steps, tuple) else (self.steps,) * len(self.runs)

    @property
    def has_noise(self) -> bool:
        """Whether the sampling noise of the ID measure is known."""
        return bool(self._noise)

    @property
    def units(self) -> int:
        """Independent units: runs, or clusters of kin."""
        return len(set(self.clusters)) or len(self.runs)

    @cached_property
    def _left(self) -> dict[tuple[str, Smoother], Series]:
        return {}

    @cached_property
    def _left_of_halves(self) -> dict[tuple[str, Smoother], Array]:
        return {}

    @cached_property
    def _within(self) -> dict[Smoother | None, tuple[Array, tuple[str, ...]]]:
        return {}

    @cached_property
    def _means(self) -> dict[Smoother | None, tuple[Array, Array, Array, Array]]:
        return {}

    def residuals(self, measure: str, smoother: Smoother = "spline") -> Series:
        """What a smooth of a measure on ID accuracy leaves over, run by run; computed once.

        Raises
        ------
        UserError
            Too few different ID accuracies to smooth over.
        """
        if (measure, smoother) not in self._left:
            self._left[measure, smoother] = self._smoothed(self.values[measure], smoother)
        return self._left[measure, smoother]

    def correlations(self, smoother: Smoother | None) -> Array:
        """Correlations of all pairs in each run, of what a smooth leaves over or (None) plain: [runs, k, k].

        NaN in a run where a measure is missing, does not move, or is all taken out by the smooth.
        """
        return self._correlated(smoother)[0]

    def _correlated(self, smoother: Smoother | None) -> tuple[Array, tuple[str, ...]]:
        """The same, and for each run why it has none (empty where it has)."""
        if smoother not in self._within:
            found = [self._in_run(run, smoother) for run in range(len(self.runs))]
            self._within[smoother] = np.stack([each for each, _ in found]), tuple(why for _, why in found)
        return self._within[smoother]

    def _in_run(self, run: int, smoother: Smoother | None) -> tuple[Array, str]:
        table, known = self._table(run), self.id[run]
        if len(known) < LEAST_POINTS:
            return np.full((len(table),) * 2, np.nan), f"fewer than {LEAST_POINTS} checkpoints"
        try:
            left = table if smoother is None else _left_over(table, known, smoother)
        except UserError as error:
            return np.full((len(table),) * 2, np.nan), str(error)
        own = left - left.mean(axis=1, keepdims=True)
        moved = np.ptp(left, axis=1) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            own /= np.sqrt(np.where(moved, (own**2).sum(axis=1), np.nan))[:, None]
        return own @ own.T, ""

    def _table(self, run: int) -> Array:
        """The measures of a run, [k, T]."""
        return np.stack([each[run] for each in self.values.values()])

    def _mean(self, smoother: Smoother | None) -> tuple[Array, Array, Array, Array]:
        if smoother not in self._means:
            self._means[smoother] = mean_over_runs(self.correlations(smoother), self.clusters)
        return self._means[smoother]

    def _at(self, first: str, second: str) -> tuple[int, int]:
        names = list(self.values)
        return names.index(first), names.index(second)

    def pair(self, first: str, second: str, smoother: Smoother = "linear") -> dict[str, Any]:
        """Partial and plain correlation of two measures within runs, with interval and test."""
        if len(self.runs) < 2:
            try:
                return self._alone(first, second, smoother)
            except UserError as error:
                return _cells(UNMEASURED, UNMEASURED, note=str(error))
        at = self._at(first, second)
        partial, plain = (_estimate([each[at] for each in self._mean(kind)]) for kind in (smoother, None))
        own = self.correlations(smoother)[(slice(None), *at)]
        lost = self._lost(own, smoother)
        if not (partial.n or 0) > (1 if self.units > 1 else 0):
            return _cells(UNMEASURED, UNMEASURED, note=lost)
        count: dict[str, float] = {"positive": int((own > 0).sum())}
        if self.units < LEAST_RUNS:
            return _cells(partial, plain, note=" ".join(filter(None, (lost, _too_few(self.units)))), **count)
        p, note = self._tested(first, second) if smoother == "linear" else (float("nan"), "")
        count |= {"p_sign": sign_test(own, self.clusters)} if smoother == "linear" else {}
        return _cells(partial, plain, p=p, note=" ".join(filter(None, (lost, note))), **count)

    def _lost(self, own: Array, smoother: Smoother) -> str:
        """A sentence on the runs that have no correlation of a pair."""
        gone = np.flatnonzero(np.isnan(own))
        if not len(gone):
            return ""
        why = next(filter(None, (self._correlated(smoother)[1][run] for run in gone)), "")
        return f"{len(gone)} of {len(own)} runs left out: {why or 'a measure is missing there or does not move.'}"

    def _tested(self, first: str, second: str) -> tuple[float, str]:
        """By run permutation given ID accuracy, whose noise is known where its items, or its errors, are."""
        here = tuple(np.flatnonzero(self._whole[first] & self._whole[second]).tolist())
        steps = self._common_steps(here)
        if len(steps) < LEAST_POINTS:
            return float("nan"), f"No p by run permutation: these runs have {len(steps)} steps in common."
        a, b, known = (self._at_common_steps(name, here) for name in (first, second, ID))
        if len(a) < LEAST_RUNS:
            return float("nan"), _too_few(len(a))
        p, note = self._conditional(a, b, known, len(here))
        few = "p is of the steps that all runs have." if isinstance(self.steps, tuple) else ""
        return p, " ".join(filter(None, (note, few)))

    def _conditional(self, a: Array, b: Array, known: Array, runs: int) -> tuple[float, str]:
        if ID in self.correct:
            p = conditional_p(a, b, known, self._noise)[0]
            return p, UNKNOWN if np.isnan(p) else ""
        if ID not in self.error_variances:
            p = conditional_p(a, b, known, 0.0)[0]
            return p, UNKNOWN if np.isnan(p) else EXACT
        noise = np.nanmean(self.error_variances[ID]) * len(a) / runs
        p = max(conditional_p(a, b, known, share * noise)[0] for share in SHARES_OF_NOISE)
        return p, UNKNOWN if np.isnan(p) else ""

    @cached_property
    def _whole(self) -> dict[str, Array]:
        """Of each measure, the runs that have it."""
        return {name: np.array([bool(np.isfinite(each).all()) for each in runs]) for name, runs in self.values.items()}

    def _at_common_steps(self, name: str, runs: tuple[int, ...]) -> Array:
        """A measure at the steps that these runs have in common, kin averaged: [units, T]; computed once."""
        if (name, runs) not in self._cut:
            series, steps = self.id if name == ID else self.values[name], self._common_steps(runs)
            same = isinstance(self.steps, np.ndarray)
            whole = [series[run] if same else series[run][np.isin(self.steps[run], steps)] for run in runs]
            clusters = [self.clusters[run] for run in runs] if self.clusters else ()
            self._cut[name, runs] = of_clusters(np.stack(whole), clusters)
        return self._cut[name, runs]

    @cached_property
    def _cut(self) -> dict[tuple[str, tuple[int, ...]], Array]:
        return {}

    def _common_steps(self, runs: tuple[int, ...]) -> Array:
        """Steps that all of these runs have."""
        if not isinstance(self.steps, tuple):
            return self.steps
        if runs not in self._common:
            values, counts = np.unique(
                np.concatenate([np.empty(0), *(self.steps[run] for run in runs)]), return_counts=True
            )
            self._common[runs] = values[counts == len(runs)]
        return self._common[runs]

    @cached_property
    def _common(self) -> dict[tuple[int, ...], Array]:
        return {}

    @cached_property
    def _windowed(self) -> tuple[Array, Array]:
        """Starts [W], and linear partial correlations of all pairs in each run from each start, [runs, W, k, k]."""
        most = max(10, min(200, MOST_MOMENTS // (len(self.runs) * len(self.values) ** 2)))
        starts = starting_points(self.steps_of_runs, most)
        tables = [np.vstack([self._table(run), self.id[run]]) for run in range(len(self.runs))]
        found = [partial_from(table, at, starts) for table, at in zip(tables, self.steps_of_runs, strict=True)]
        return starts, np.stack(found)

    def windows(self, first: str, second: str) -> Windows:
        """The linear partial correlation of two measures from every start point.

        Raises
        ------
        UserError
            No run has six checkpoints.
        """
        starts, found = self._windowed
        i, j = self._at(first, second)
        return over_runs(found[:, :, i, j], starts, self.clusters)

    def _alone(self, first: str, second: str, smoother: Smoother) -> dict[str, Any]:
        """One run: no interval; a circular-shift p where the series allow it, else the reason that there is none."""
        a, b, given = self.values[first][0], self.values[second][0], self.id[0]
        found = partial_correlation(a, b, given, smoothers=[smoother], level="run").estimates
        partial, plain = (Estimate(found[kind].value, n=1) for kind in (smoother, "plain"))
        try:
            shifted = circular_shift_test(a, b, given, steps=self.steps_of_runs[0], smoother=smoother)
        except UserError as error:
            return _cells(partial, plain, note=str(error))
        return _cells(partial, plain, p=shifted.p, note="circular shift within one run")

    def corrected(self, first: str, second: str) -> tuple[float, int]:
        """The linear partial correlation corrected for the ID set's sampling noise, and in how many runs it is known.

        Of the mean over runs of their covariances less their noise: a mean of the runs in which it is identifiable
        would keep those with the larger values.
        """
        if not self.has_noise:
            return float("nan"), 0
        triples = [(self.values[first][i], self.values[second][i], self.id[i]) for i in range(len(self.runs))]
        known = [i for i, triple in enumerate(triples) if np.isfinite(triple).all()]
        if not known:
            return float("nan"), 0
        moments = np.mean([np.cov(triples[i]) for i in known], axis=0)
        value, why = corrected_partial(moments, float(np.mean([self._noise[i] for i in known])))
        return (float("nan"), 0) if why or np.isnan(value) else (value, len(known))

    def apart(self, first: str, second: str, smoother: Smoother = "linear") -> Estimate:
        """Partial correlation of two AUROCs that share no item: one of one half, the other of the other half.

        Two AUROCs of the same ID scores correlate by that alone. Mean in Fisher z over both ways to choose the halves,
        then over runs; noisier than with all items, so that it is nearer to 0. Unknown where there are no halves.
        """
        if first not in self.halves or second not in self.halves or len(self.runs) < 2:
            return Estimate(float("nan"))
        try:
            left, right = self._of_halves(first, smoother), self._of_halves(second, smoother)
        except UserError:
            return Estimate(float("nan"))
        with np.errstate(invalid="ignore"):  # a smooth that leaves nothing over: unknown
            ways = [[np.corrcoef(left[h, run], right[1 - h, run])[0, 1] for h in (0, 1)] for run in range(len(left[0]))]
        z = np.arctanh(np.clip(ways, -1 + 1e-12, 1 - 1e-12)).mean(axis=1)
        half = stats.t.ppf(0.975, len(z) - 1) * z.std(ddof=1) / np.sqrt(len(z))
        value, low, high = (float(np.tanh(z.mean() + side * half)) for side in (0, -1, 1))
        return Estimate(value, low, high, n=len(z))

    def _of_halves(self, measure: str, smoother: Smoother) -> Array:
        """Residuals of a measure on each half, [2, runs, T]; computed once."""
        if (measure, smoother) not in self._left_of_halves:
            both = [self._smoothed(each, smoother) for each in self.halves[measure]]
            self._left_of_halves[measure, smoother] = np.stack(both)
        return self._left_of_halves[measure, smoother]

    def _smoothed(self, values: Series, smoother: Smoother) -> Any:
        left = [residuals(y, x, smoother) for y, x in zip(values, self.id, strict=True)]
        return tuple(left) if isinstance(self.steps, tuple) else np.stack(left)

    @cached_property
    def _noise(self) -> list[float]:
        """Error variance of the ID accuracies of each run: from the covariance of its items, else from its errors."""
        if ID in self.correct:
            return [item_error(table) for table in self.correct[ID]]
        return list(self.error_variances.get(ID, ()))

    def reliability(self) -> pl.DataFrame:
        """Reliability of every set with items or errors, mean over runs: set, items, reliability, lowest run."""
        if self.error_variances:
            return self._reliability_of_errors()
        tables = []
        for run in range(len(self.runs) if self.correct else 0):
            accuracies = {name: table[run].mean(axis=1) for name, table in self.correct.items()}
            items = {name: table.shape[2] for name, table in self.correct.items()}
            found = reliability(accuracies, items, {name: table[run] for name, table in self.correct.items()})
            tables.append(found.frame())
        if not tables:
            return pl.DataFrame(schema={"set": pl.String, "items": pl.Int64, "reliability": pl.Float64})
        value = pl.col("reliability").fill_nan(None)
        return (
            pl.concat(tables)
            .group_by("set", "items", maintain_order=True)
            .agg(value.mean(), value.min().alias("lowest run"))
        )

    def _reliability_of_errors(self) -> pl.DataFrame:
        rows = []
        for name, noise in self.error_variances.items():
            values = self.id if name == ID else self.values[name]
            with np.errstate(invalid="ignore", divide="ignore"):
                found = 1 - np.array(noise) / np.array([np.var(each, ddof=1) for each in values])
            found = found[np.isfinite(found)]
            if len(found):
                items = round(self.items[name]) if np.isfinite(self.items.get(name, np.nan)) else None
                rows.append({"set": name, "items": items, "reliability": found.mean(), "lowest run": found.min()})
        return pl.DataFrame(
            rows, schema={"set": pl.String, "items": pl.Int64, "reliability": pl.Float64, "lowest run": pl.Float64}
        )


def _left_over(table: Array, known: Array, smoother: Smoother) -> Array:
    """What a smooth on the ID measure leaves over of each measure [k, T]; a missing one stays NaN."""
    if smoother != "spline":
        return residuals(table, known, smoother)
    return np.stack([residuals(y, known, smoother) if np.isfinite(y).all() else y for y in table])


UNMEASURED = Estimate(float("nan"))
SHARES_OF_NOISE = (0.0, 0.5, 1.0)
"""Of the binomial error, taken for noise of ID in a test: the same items at every checkpoint share part of it."""


def _estimate(cells: Sequence[Any]) -> Estimate:
    value, low, high, units = cells
    return Estimate(float(value), float(low), float(high), n=int(units))


def _too_few(units: int) -> str:
    return f"{units} runs: an interval and no p, for the smallest possible p is {1 / factorial(units):.2g}"


def _cells(partial: Estimate, plain: Estimate, note: str = "", **further: Any) -> dict[str, Any]:
    return {
        "value": partial.value, "low": partial.low, "high": partial.high, "runs": partial.n,
        "plain": plain.value, "plain_low": plain.low, "plain_high": plain.high, "note": note, **further,
    }  # fmt: skip
