"""What test sets have in common once the ID measure is taken out: study 2 on the rows of any tracked runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.stats.agreement import Agreement, agreement
from outfield.stats.measurement_error import corrected_partial, item_error, reliability
from outfield.stats.multiplicity import benjamini_hochberg
from outfield.stats.partial import partial_correlation
from outfield.stats.runs import LEAST_RUNS, UNKNOWN, WithinRuns, conditional_p, within_runs
from outfield.stats.series import circular_shift_test
from outfield.stats.smooth import SMOOTHERS, Smoother, residuals
from outfield.store import query
from outfield.store.performance import Performance, of_metric, performance
from outfield.store.settings import told_apart
from outfield.store.write import whole as whole_rows
from outfield.studies.bench import HALVES
from outfield.trajectory.tracker import ITEMS, SKIPPED, merits_of
from outfield.types import Array, Estimate

ID = "ID"
EXACT = "p takes ID accuracy for exact: its items are not there"


@dataclass(frozen=True, eq=False)
class Model:
    """The runs of one model at the steps that all of them have, the step before training left out.

    Parameters
    ----------
    name : str
    runs : tuple of str
    steps : array [T]
    id : array [runs, T]
        ID accuracies.
    values : mapping of measure to array [runs, T]
        Accuracies of the other sets and AUROCs.
    correct : mapping of set to array [runs, T, n]
        Whether each item was right; the ID set is ``ID``.
    halves : mapping of measure to array [2, runs, T]
        AUROCs on disjoint halves of the items of both sides.
    detected : frozenset of str
        Which measures are AUROCs.
    """

    name: str
    runs: tuple[str, ...]
    steps: Array
    id: Array
    values: dict[str, Array]
    correct: dict[str, Array] = field(default_factory=dict)
    halves: dict[str, Array] = field(default_factory=dict)
    detected: frozenset[str] = frozenset()

    @cached_property
    def _left(self) -> dict[tuple[str, Smoother], Array]:
        return {}

    @cached_property
    def _left_of_halves(self) -> dict[tuple[str, Smoother], Array]:
        return {}

    def residuals(self, measure: str, smoother: Smoother = "spline") -> Array:
        """What a smooth of a measure on ID accuracy leaves over, run by run: [runs, T]; computed once.

        Raises
        ------
        UserError
            Too few different ID accuracies to smooth over.
        """
        if (measure, smoother) not in self._left:
            self._left[measure, smoother] = self._smoothed(self.values[measure], smoother)
        return self._left[measure, smoother]

    def pair(self, first: str, second: str, smoother: Smoother = "linear") -> dict[str, Any]:
        """Partial and plain correlation of two measures within runs, with interval and test."""
        try:
            if len(self.runs) < 2:
                return self._alone(first, second, smoother)
            plain = within_runs(self.values[first], self.values[second]).plain
            found = within_runs(self.residuals(first, smoother), self.residuals(second, smoother))
        except UserError as error:
            return _cells(Estimate(float("nan")), Estimate(float("nan")), float("nan"), str(error))
        if len(self.runs) < LEAST_RUNS:
            return _cells(found.estimate, plain, float("nan"), _too_few(found))
        p, note = self._tested(first, second) if smoother == "linear" else (float("nan"), "")
        return _cells(found.estimate, plain, p, note)

    def _tested(self, first: str, second: str) -> tuple[float, str]:
        """By run permutation given ID accuracy, whose noise is known where its items are."""
        noise = self._noise if ID in self.correct else [0.0]
        p, _ = conditional_p(self.values[first], self.values[second], self.id, noise)
        return p, UNKNOWN if np.isnan(p) else "" if ID in self.correct else EXACT

    def _alone(self, first: str, second: str, smoother: Smoother) -> dict[str, Any]:
        """One run: no interval; a circular-shift p where the series allow it, else the reason that there is none."""
        a, b, given = self.values[first][0], self.values[second][0], self.id[0]
        found = partial_correlation(a, b, given, smoothers=[smoother], level="run").estimates
        partial, plain = (Estimate(found[kind].value, n=1) for kind in (smoother, "plain"))
        try:
            shifted = circular_shift_test(a, b, given, steps=self.steps, smoother=smoother)
        except UserError as error:
            return _cells(partial, plain, float("nan"), str(error))
        return _cells(partial, plain, shifted.p, "circular shift within one run")

    def corrected(self, first: str, second: str) -> tuple[float, int]:
        """The linear partial correlation corrected for the ID set's sampling noise, and in how many runs it is known.

        Of the mean over runs of their covariances less their noise: a mean of the runs in which it is identifiable
        would keep those with the larger values.
        """
        if ID not in self.correct:
            return float("nan"), 0
        runs = range(len(self.runs))
        moments = np.mean([np.cov([self.values[first][i], self.values[second][i], self.id[i]]) for i in runs], axis=0)
        value, why = corrected_partial(moments, float(np.mean(self._noise)))
        return (float("nan"), 0) if why or np.isnan(value) else (value, len(runs))

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

    def _smoothed(self, values: Array, smoother: Smoother) -> Array:
        return np.stack([residuals(y, x, smoother) for y, x in zip(values, self.id, strict=True)])

    @cached_property
    def _noise(self) -> list[float]:
        """Error variance of the ID accuracies of each run, from the covariance of its items."""
        return [item_error(table) for table in self.correct[ID]]

    def reliability(self) -> pl.DataFrame:
        """Reliability of every set with items, mean over runs: columns set, items, reliability, lowest."""
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


def _pooled(errors: Array, runs: list[int]) -> Array:
    """Errors with one variance over runs for all models, widened for how few runs it comes from: [models, k, k].

    Twelve runs of two models would else call chance heterogeneous in 8% of all cases instead of 5%.
    """
    counts = np.array(runs, dtype=float)[:, None, None]
    freedom = (counts - 1).sum()
    variance = (errors**2 * counts * (counts - 1)).sum(axis=0) / freedom
    return np.asarray(np.sqrt(variance * freedom / (freedom - 2) / counts))


def _too_few(found: WithinRuns) -> str:
    return f"{found.n_units} runs: an interval and no p, for the smallest possible p is {found.p_smallest:.2g}"


def _cells(partial: Estimate, plain: Estimate, p: float, note: str) -> dict[str, Any]:
    return {
        "value": partial.value, "low": partial.low, "high": partial.high, "runs": partial.n, "p": p,
        "plain": plain.value, "plain_low": plain.low, "plain_high": plain.high, "note": note,
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Tracked runs, read from a study's folder.

    Examples
    --------
    >>> Trajectories.of("results/digits_trajectory").pairs  # doctest: +SKIP
    """

    rows: pl.DataFrame
    models: tuple[Model, ...]
    skipped: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    measure: str = "accuracy"

    @classmethod
    def of(cls, folder: Path | str, measure: str | None = None) -> Trajectories:
        """The runs of a study, by the performance of their task or by another ``measure`` of it.

        With ``measure="balanced_accuracy"`` a leaning of the model to one label, which moves the accuracies of sets of
        different label shares apart, is left out; reliability and the correction for noise, which rest on accuracies of
        items, are then unknown.

        Raises
        ------
        UserError
            There are no rows, or none that were tracked.
        """
        rows = told_apart(query.rows(folder).filter(pl.col("step").is_not_null()))
        if rows.is_empty():
            raise UserError(f"Expected tracked runs in {folder}, but no row has a step. Run: outfield track STUDY")
        measure = measure or performance(rows).metric
        skipped = rows.filter(pl.col("metric") == SKIPPED).sort("run", "step")
        notes = tuple(map(_skip, skipped.iter_rows(named=True)))
        done, total = query.progress(folder)
        absent = f"{total - done:,} of {total:,} checkpoints, not measured yet, or their files are damaged or lost"
        notes += (absent,) if done < total else ()
        measured = rows.filter(
            pl.col("metric").is_in([measure, "auroc"]), pl.col("role") == "test", pl.col("part").is_null()
        )
        if not (measured["metric"] == measure).any():
            raise UserError(
                f"Expected rows of {measure}, but there are none. Log the labels too, or take another measure."
            )
        measured = measured.with_columns(name=_NAME)
        items = _items(Path(folder)) if measure == "accuracy" else _no_items
        halves = rows.filter(pl.col("metric").is_in(HALVES)).with_columns(name=_NAME)
        groups = measured.partition_by("strategy", maintain_order=True)
        models = tuple(sorted((_model(group, halves, items) for group in groups), key=lambda one: one.name))
        return cls(rows, models, notes, query.manifest(folder).get("study") or {}, measure)

    @cached_property
    def performance(self) -> Performance:
        """The measure of the ID set and of the sets of the same labels."""
        return of_metric(self.measure)

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """Every pair of measures by every smoother, for each model.

        Columns: model, first, second, smoother, value, low, high (partial correlation within runs, Fisher-z mean over
        runs), p (run permutation given ID; linear), q (p after Benjamini-Hochberg over the pairs of one model and
        smoother), plain with its interval, corrected (errors in variables; linear), corrected_runs, apart with its
        interval (two AUROCs on disjoint halves of the items), shared_id, note. Null where unknown.
        """
        return pl.concat([_pairs(model) for model in self.models]).fill_nan(None)

    def compared(self, smoother: Smoother) -> pl.DataFrame:
        """The pairs by one smoother.

        Raises
        ------
        UserError
            There are fewer than two measures beside that of the ID set.
        """
        part = self.pairs.filter(pl.col("smoother") == smoother)
        if part.is_empty():
            raise UserError(
                f"Expected at least two measures beside ID {self.performance.word}, but got one. "
                "Add OOD sets to the study."
            )
        return part

    @cached_property
    def reliability(self) -> pl.DataFrame:
        """Reliability of each set of each model."""
        return pl.concat([m.reliability().with_columns(model=pl.lit(m.name)) for m in self.models], how="diagonal")

    @cached_property
    def agreement(self) -> Agreement:
        """Heterogeneity of the partial correlations across models: is there one pattern?

        Raises
        ------
        UserError
            Fewer than two models with the same measures, or fewer than five runs each.
        """
        shared = list(self.models[0].values)
        same = [model for model in self.models if list(model.values) == shared]
        if len(same) < 2 or (fewest := min(len(model.runs) for model in same)) < LEAST_RUNS:
            got = f"{len(same)} model{'' if len(same) == 1 else 's'}" + (
                f" with {fewest} runs at least" if len(same) > 1 else ""
            )
            raise UserError(
                f"Expected at least two models with the same measures and {LEAST_RUNS} runs each, but got {got}. "
                "Add models or seeds to the study."
            )
        values, errors = zip(*map(self._matrices, same), strict=True)
        if np.isnan(values).any():
            raise UserError("Expected every pair of every model, but some could not be compared: see their notes.")
        return agreement(values, errors=_pooled(np.stack(errors), [len(m.runs) for m in same]), names=shared)

    def _matrices(self, model: Model) -> tuple[Array, Array]:
        """Linear partial correlations of every pair [k, k], and standard errors of their Fisher z over runs."""
        part = self.pairs.filter(pl.col("model") == model.name, pl.col("smoother") == "linear")
        place = {name: i for i, name in enumerate(model.values)}
        values, errors = np.eye(len(place)), np.ones((len(place), len(place)))
        width = 2 * stats.t.ppf(0.975, len(model.runs) - 1)
        for first, second, *found in part.select("first", "second", "value", "low", "high").iter_rows():
            value, low, high = (np.nan if end is None else end for end in found)
            cells = ((place[first], place[second]), (place[second], place[first]))
            for cell in cells:
                values[cell], errors[cell] = value, (np.arctanh(high) - np.arctanh(low)) / width
        return values, errors

    @cached_property
    def sign_differs(self) -> pl.DataFrame:
        """Pairs whose partial correlation has one sign by one smoother and the other by another, by at least .1."""
        grouped = self.pairs.group_by("model", "first", "second", maintain_order=True)
        ends = grouped.agg(pl.col("value").min().alias("least"), pl.col("value").max().alias("most"))
        return ends.filter(pl.col("least") < 0, pl.col("most") > 0, pl.col("most") - pl.col("least") >= 0.1)

    def curves(self) -> pl.DataFrame:
        """Mean over runs of each measure at each step, with Student's interval over runs."""
        shown = pl.col("metric").is_in([self.measure, "auroc"]) & (pl.col("role") == "test")
        measured = self.rows.filter(shown).with_columns(name=_NAME)
        keys = ["strategy", "name", "metric", "set_kind", "step"]
        table = measured.group_by(keys).agg(
            pl.col("value").mean(), pl.col("value").std().alias("sd"), pl.len().alias("runs")
        )
        widths = [stats.t.ppf(0.975, runs - 1) / np.sqrt(runs) if runs > 1 else np.nan for runs in table["runs"]]
        half = pl.col("sd") * pl.Series(widths)
        return table.with_columns(bounded(half, self.performance.share)).drop("sd").sort(keys)


def bounded(half: pl.Expr, share: bool) -> list[pl.Expr]:
    """The ends of intervals of this half width; those of AUROCs, and of a performance that is a share, in [0, 1]."""
    within = pl.lit(share) | (pl.col("metric") == "auroc")
    low, high = pl.col("value") - half, pl.col("value") + half
    return [
        pl.when(within).then(low.clip(0)).otherwise(low).alias("low"),
        pl.when(within).then(high.clip(None, 1)).otherwise(high).alias("high"),
    ]


_NUMBERS = (
    "value",
    "low",
    "high",
    "p",
    "plain",
    "plain_low",
    "plain_high",
    "corrected",
    "apart",
    "apart_low",
    "apart_high",
)
PAIRS: dict[str, Any] = (
    dict.fromkeys(("model", "first", "second", "smoother", "note"), pl.String)
    | dict.fromkeys(_NUMBERS, pl.Float64)
    | {"runs": pl.Int64, "corrected_runs": pl.Int64, "shared_id": pl.Boolean}
)
"""Columns of the table of pairs, without ``q``."""

_NAME = (
    pl.when(pl.col("metric").str.starts_with("auroc"))
    .then(pl.format("{}: {}", "detector", "ood"))
    .otherwise(pl.coalesce("ood", pl.lit(ID)))
)


def _skip(row: Mapping[str, Any]) -> str:
    """What could not be measured, and why."""
    detector = f", {row['detector']}" if row["detector"] else ""
    return f"{row['run']}, step {row['step']}{detector}: {row['params']}"


def _no_items(_run: str, _step: int) -> dict[str, Array]:
    return {}


def _items(folder: Path) -> Callable[[str, int], dict[str, Array]]:
    """Correctness of a run at a step, by set, of the study in its present form; read once for the whole study."""
    jobs = query.manifest(folder)["jobs"]
    where: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / ITEMS).glob("*.parquet")):
        rows = folder / "rows" / path.name
        if rows.exists() and (jobs is None or path.stem in jobs) and whole_rows(rows):
            head = pl.read_parquet(rows, columns=["run", "step"], n_rows=1, glob=False).row(0)
            where[head] = path

    def read(run: str, step: int) -> dict[str, Array]:
        if (run, step) not in where:
            return {}
        if not (files := query.sound([where[run, step]], [where[run, step]], ITEMS)):
            return {}
        table = merits_of(pl.read_parquet(files[0], glob=False))
        return {name: part["merit"].to_numpy() for (name,), part in table.group_by("set", maintain_order=True)}

    return read


def _model(table: pl.DataFrame, halves: pl.DataFrame, items: Callable[[str, int], dict[str, Array]]) -> Model:
    runs = tuple(table["run"].unique(maintain_order=True).sort())
    steps = _common_steps(table, len(runs))
    wide = table.filter(pl.col("step").is_in(steps)).sort("run", "step")
    names = list(dict.fromkeys(wide.sort("metric", "name")["name"]))
    arrays = {name: _array(wide.filter(pl.col("name") == name), len(runs), len(steps)) for name in names}
    whole = {name: array for name, array in arrays.items() if array is not None}
    if ID not in whole:
        raise UserError(
            "Expected a value of the ID set at every checkpoint, but it is missing. Log a set of kind 'id'."
        )
    known = whole.pop(ID)
    correct = _correct(runs, steps, items, table)
    cut = halves.filter(pl.col("run").is_in(runs), pl.col("step").is_in(steps)).sort("run", "step")
    detected = frozenset(table.filter(pl.col("metric") == "auroc")["name"])
    return Model(
        str(table["strategy"][0]), runs, np.array(steps), known, whole, correct, _halved(cut, known.shape), detected
    )


def _halved(table: pl.DataFrame, shape: tuple[int, ...]) -> dict[str, Array]:
    """AUROCs on the two halves by measure, [2, runs, T]."""
    found = {}
    for (name,), part in table.group_by("name", maintain_order=True):
        both = [_array(part.filter(pl.col("metric") == metric), *shape) for metric in HALVES]
        if all(array is not None for array in both):
            found[str(name)] = np.stack([array for array in both if array is not None])
    return found


def _common_steps(table: pl.DataFrame, runs: int) -> list[int]:
    """Steps after the one before training that every run has with every measure."""
    counts = table.group_by("step").agg(pl.struct("run", "name").n_unique().alias("cells"))
    most = table["name"].n_unique() * runs
    steps = counts.filter(pl.col("cells") == most, pl.col("step") > 0)["step"].sort().to_list()
    if len(steps) < 6:
        raise UserError(
            f"Expected at least 6 checkpoints after training began that all {runs} runs of "
            f"{table['strategy'][0]!r} have, but got {len(steps)}. Finish the runs, or ask for more checkpoints."
        )
    return steps


def _array(part: pl.DataFrame, runs: int, steps: int) -> Array | None:
    return part["value"].to_numpy().reshape(runs, steps) if part.height == runs * steps else None


def _correct(
    runs: tuple[str, ...], steps: list[int], items: Callable[[str, int], dict[str, Array]], table: pl.DataFrame
) -> dict[str, Array]:
    """Items of every set that has them at every step of every run; the ID set under its common name."""
    cells = [[items(run, step) for step in steps] for run in runs]
    sets = [name for name in cells[0][0] if all(name in cell for line in cells for cell in line)]
    found = {name: np.stack([np.stack([cell[name] for cell in line]) for line in cells]).astype(float) for name in sets}
    others = set(table["ood"].drop_nulls())
    return {(name if name in others else ID): array for name, array in found.items()}


def _pairs(model: Model) -> pl.DataFrame:
    tables = [pl.DataFrame(list(_rows_of(model, smoother)), schema=PAIRS) for smoother in SMOOTHERS]
    return pl.concat([one.with_columns(q=pl.Series(benjamini_hochberg(one["p"]))) for one in tables])


def _rows_of(model: Model, smoother: Smoother) -> Iterator[dict[str, Any]]:
    for first, second in combinations(model.values, 2):
        value, known = model.corrected(first, second) if smoother == "linear" else (float("nan"), 0)
        apart = model.apart(first, second, smoother)
        yield {
            "model": model.name,
            "first": first,
            "second": second,
            "smoother": smoother,
            **model.pair(first, second, smoother),
            "corrected": value,
            "corrected_runs": known,
            "apart": apart.value,
            "apart_low": apart.low,
            "apart_high": apart.high,
            "shared_id": {first, second} <= model.detected,
        }
