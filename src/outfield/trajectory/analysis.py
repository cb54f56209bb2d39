"""What test sets have in common once the ID measure is taken out: study 2 on the rows of any tracked runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from outfield.stats.multiplicity import benjamini_hochberg
from outfield.stats.noise_floor import floors
from outfield.stats.runs import LEAST_RUNS
from outfield.stats.smooth import SMOOTHERS, Smoother
from outfield.stats.windows import Windows
from outfield.store import query
from outfield.store.performance import Performance, of_metric, performance
from outfield.store.schema import HALVES
from outfield.store.settings import told_apart
from outfield.store.write import whole as whole_rows
from outfield.tables.runs import Checkpoints
from outfield.trajectory.model import ID, Model
from outfield.trajectory.rows import ITEMS, SKIPPED, merits_of
from outfield.types import Array


def _pooled(errors: Array, runs: list[int]) -> Array:
    """Errors with one variance over runs for all models, widened for how few runs it comes from: [models, k, k].

    Twelve runs of two models would else call chance heterogeneous in 8% of all cases instead of 5%.
    """
    counts = np.array(runs, dtype=float)[:, None, None]
    freedom = (counts - 1).sum()
    variance = (errors**2 * counts * (counts - 1)).sum(axis=0) / freedom
    return np.asarray(np.sqrt(variance * freedom / (freedom - 2) / counts))


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
    smoothers: tuple[Smoother, ...] = SMOOTHERS
    checkpoints: Checkpoints | None = None

    @classmethod
    def of_table(
        cls, checkpoints: Checkpoints, *, name: str = "table", smoothers: Sequence[Smoother] | None = None
    ) -> Trajectories:
        """The runs of a table whose rows are checkpoints; each group of runs is a model.

        Runs keep their own steps: what is correlated within a run needs no steps in common. The run-permutation test
        does, and takes those that all runs have. Step 0, before training, is left out. The spline is fitted where
        runs have at most 100 checkpoints, unless ``smoothers`` says otherwise.

        Raises
        ------
        UserError
            No run has six checkpoints after training began.

        Examples
        --------
        >>> from outfield.tables.runs import read
        >>> rng = np.random.default_rng(0)
        >>> table = {"net": ["a"] * 8 + ["b"] * 7, "at": [*range(1, 9), *range(1, 8)]}
        >>> table |= {name: rng.random(15) for name in ("val", "first", "second")}
        >>> read_in = read(pl.DataFrame(table), run="net", step="at", id="val", ood=["first", "second"])
        >>> found = Trajectories.of_table(read_in)
        >>> found.pairs.select("first", "second", "smoother", "runs").rows()[0]
        ('first', 'second', 'linear', 2)
        """
        trained = checkpoints.after(0)
        models = tuple(_of_group(trained, group, name) for group in trained.groups)
        longest = max(len(each) for model in models for each in model.steps_of_runs)
        chosen = tuple(smoothers or (SMOOTHERS if longest <= MOST_SPLINED else ("linear", "rank")))
        measure = "accuracy" if checkpoints.shares else MEASURE
        manifest = {"title": name, "notes": [f"ID: {checkpoints.id}.", *checkpoints.notes]}
        return cls(_as_rows(checkpoints, measure, name), models, (), manifest, measure, chosen, checkpoints)

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
        return of_metric(self.measure) if self.checkpoints is None else Performance(self.measure, "Measure", True)

    @property
    def known(self) -> str:
        """What is taken out, within a sentence: a table's ID measure by its name."""
        return f"ID {self.performance.word}" if self.checkpoints is None else self.checkpoints.id

    @property
    def smoother(self) -> Smoother:
        """The smooth that pages show first: the spline where it was fitted."""
        return "spline" if "spline" in self.smoothers else self.smoothers[0]

    @property
    def has_noise(self) -> bool:
        """Whether the sampling noise of the ID measure is known."""
        return any(model.has_noise for model in self.models)

    @property
    def noise_from(self) -> str:
        """What the sampling noise is known from."""
        if self.checkpoints is None:
            return "its item covariance"
        return "the standard errors of cells: too much, for the items are the same at every checkpoint"

    @cached_property
    def windows(self) -> dict[tuple[str, str, str], Windows]:
        """The linear partial correlation of each pair from every start point: (model, first, second) to it."""
        several = [model for model in self.models if len(model.runs) > 1]
        return {(m.name, *pair): m.windows(*pair) for m in several for pair in combinations(m.values, 2)}

    def window_frame(self) -> pl.DataFrame:
        """Whether the sign of each pair hangs on the first checkpoint that is taken.

        Columns: model, first, second, whole (estimate over all checkpoints), least and most (over starts that every
        run reaches) with the starts where they are, turns (starts at which the sign changes), stable, decides.
        """
        return pl.DataFrame([_window_row(key, found) for key, found in self.windows.items()], schema=WINDOWS)

    @cached_property
    def floor(self) -> pl.DataFrame:
        """The noise floor of each measure from reruns, and what lies below it.

        Columns of :func:`outfield.stats.noise_floor.floors`, and: binomial (standard error of the cells, where known),
        steps below (share of neighbouring checkpoints that differ by less than the floor allows to see), runs below
        (the same of pairs of runs that are no kin, at their last checkpoints).

        Raises
        ------
        UserError
            The runs are of no table, or none of them repeats another.
        """
        if self.checkpoints is None or not self.checkpoints.reruns:
            raise UserError("Expected runs that repeat a configuration, but there are none. Name them with --rerun.")
        apart = {
            name: list(self.checkpoints.differences(name)) for name in (self.checkpoints.id, *self.checkpoints.ood)
        }
        known = {name: pairs for name, pairs in apart.items() if pairs}
        return floors(known).with_columns(*_below(floors(known), self.checkpoints))

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """Every pair of measures by every smoother, for each model.

        Columns: model, first, second, smoother, value, low, high (partial correlation within runs, Fisher-z mean over
        runs), runs (independent units: kin are one), positive (runs of a positive one), p (run permutation given ID;
        linear), p_sign (sign test over units; linear), q (p after Benjamini-Hochberg over the pairs of one model and
        smoother), plain with its interval, corrected (errors in variables; linear), corrected_runs, apart with its
        interval (two AUROCs on disjoint halves of the items), shared_id, note. Null where unknown.
        """
        return pl.concat([_pairs(model, self.smoothers) for model in self.models]).fill_nan(None)

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
        if len(same) < 2 or (fewest := min(model.units for model in same)) < LEAST_RUNS:
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
        return agreement(values, errors=_pooled(np.stack(errors), [m.units for m in same]), names=shared)

    def _matrices(self, model: Model) -> tuple[Array, Array]:
        """Linear partial correlations of every pair [k, k], and standard errors of their Fisher z over runs."""
        part = self.pairs.filter(pl.col("model") == model.name, pl.col("smoother") == "linear")
        place = {name: i for i, name in enumerate(model.values)}
        values, errors = np.eye(len(place)), np.ones((len(place), len(place)))
        width = 2 * stats.t.ppf(0.975, model.units - 1)
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
        """Mean over runs of each measure at each step, with Student's interval over runs.

        Of more than 200 steps neighbours are put together, as many as have one place on a logarithmic axis.
        """
        shown = pl.col("metric").is_in([self.measure, "auroc"]) & (pl.col("role") == "test")
        measured = _thinned(self.rows.filter(shown)).with_columns(name=_NAME)
        keys = ["strategy", "name", "metric", "set_kind", "step"]
        measured = measured.group_by("run", *keys).agg(pl.col("value").mean())
        table = measured.group_by(keys).agg(
            pl.col("value").mean(), pl.col("value").std().alias("sd"), pl.len().alias("runs")
        )
        widths = [stats.t.ppf(0.975, runs - 1) / np.sqrt(runs) if runs > 1 else np.nan for runs in table["runs"]]
        half = pl.col("sd") * pl.Series(widths)
        return table.with_columns(bounded(half, self.performance.share)).drop("sd").sort(keys)


MOST_STEPS, BINS = 200, 40


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows at the middle of the stretch, on a logarithmic axis, in which their step lies; as they are of few steps."""
    steps = rows["step"].unique().sort()
    if len(steps) <= MOST_STEPS:
        return rows
    logs = np.log1p(rows["step"].to_numpy().astype(float))
    width = max(logs.max() / BINS, 1e-12)
    middles = np.expm1((np.minimum(logs // width, BINS - 1) + 0.5) * width).round()
    return rows.with_columns(step=pl.Series(np.where(logs == 0, 0.0, middles)))


MOST_SPLINED = 100
MEASURE = "measure"
"""The metric of a table's measures that are not all shares: they have no axis in common."""
WINDOWS: dict[str, Any] = (
    dict.fromkeys(("model", "first", "second"), pl.String)
    | dict.fromkeys(("whole", "least", "least from", "most", "most from"), pl.Float64)
    | {"turns": pl.List(pl.Float64), "stable": pl.Boolean, "decides": pl.Boolean}
)
"""Columns of the table of windows."""


def _window_row(key: tuple[str, str, str], found: Windows) -> dict[str, Any]:
    known = np.flatnonzero(found.comparable)
    row = dict(zip(("model", "first", "second"), key, strict=True)) | {
        "turns": list(found.turns), "stable": found.stable, "decides": found.decides,
    }  # fmt: skip
    if not len(known):
        return row | {"stable": None, "decides": None}
    least, most = known[np.argmin(found.mean[known])], known[np.argmax(found.mean[known])]
    return row | {
        "whole": found.mean[known[0]], "least": found.mean[least], "least from": found.starts[least],
        "most": found.mean[most], "most from": found.starts[most],
    }  # fmt: skip


def _of_group(table: Checkpoints, group: str, name: str) -> Model:
    """The runs of one group as those of a model, on one grid of steps where they have one."""
    part = table.of_group(group)
    steps = part.values("step")
    alike = all(np.array_equal(steps[0], each) for each in steps)
    columns = {measure: part.values(measure) for measure in (part.id, *part.ood)}
    series = {measure: np.stack(each) if alike else each for measure, each in columns.items()}
    own = {ID if measure == part.id else measure: part.error_variances(measure) for measure in columns}
    return Model(
        group or name, part.runs, steps[0] if alike else steps, series.pop(part.id), series, clusters=part.kin,
        error_variances={measure: each for measure, each in own.items() if np.isfinite(each).any()},
        items={ID if measure == part.id else measure: part.items(measure) for measure in columns},
    )  # fmt: skip


def _as_rows(table: Checkpoints, measure: str, name: str) -> pl.DataFrame:
    """A table of checkpoints as rows of a study, a row a cell."""
    cells = table.rows.unpivot(on=[table.id, *table.ood], index=["run", "group", "step"], variable_name="ood")
    known = pl.col("ood") == table.id
    return cells.drop_nulls("value").select(
        pl.lit(name).alias("study"),
        pl.when(pl.col("group") == "").then(pl.lit(name)).otherwise("group").alias("strategy"),
        "run", "step", "value", pl.lit(measure).alias("metric"), pl.lit("test").alias("role"),
        pl.when(known).then(pl.lit("id")).otherwise(pl.lit("shift")).alias("set_kind"),
        pl.when(known).then(None).otherwise("ood").alias("ood"), pl.lit(table.id).alias("id"),
        *(pl.lit(None, pl.String).alias(column) for column in ("detector", "params", "part")),
    )  # fmt: skip


def _below(found: pl.DataFrame, table: Checkpoints) -> list[pl.Series]:
    """Of each measure: its binomial error, and the shares of steps and of pairs of runs that differ by less."""
    limits = zip(found["measure"], found["smallest step"], found["smallest difference"], strict=True)
    rows = [
        (table.binomial(name), table.steps_below(name, step), table.ends_below(name, end)) for name, step, end in limits
    ]
    return [
        pl.Series(column, values, dtype=pl.Float64)
        for column, values in zip(("binomial", "steps below", "runs below"), zip(*rows, strict=True), strict=True)
    ]


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
    "p_sign",
)
PAIRS: dict[str, Any] = (
    dict.fromkeys(("model", "first", "second", "smoother", "note"), pl.String)
    | dict.fromkeys(_NUMBERS, pl.Float64)
    | {"runs": pl.Int64, "positive": pl.Int64, "corrected_runs": pl.Int64, "shared_id": pl.Boolean}
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


def _pairs(model: Model, smoothers: Sequence[Smoother]) -> pl.DataFrame:
    tables = [pl.DataFrame(list(_rows_of(model, smoother)), schema=PAIRS) for smoother in smoothers]
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
