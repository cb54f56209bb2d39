"""A table whose rows are checkpoints of runs: which run, which step, and what was measured there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError, listed, plural
from outfield.stats.frames import as_frame, require
from outfield.tables.cells import names, numbers
from outfield.types import Array

LEAST_CHECKPOINTS = 6
MOSTLY = 0.5
"""Share of a run's checkpoints that must have a measure, for the run to have it."""
RERUN = r"[-_ ]?re-?run$"
"""What the name of a rerun has beyond that of the run that it repeats."""
OWN = ("run", "group", "kin", "step")


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """Measures of runs along training.

    Parameters
    ----------
    rows : frame
        A row a checkpoint, in the order of runs and steps: ``run``, ``group``, ``kin``, ``step``, and a column a
        measure. A measure that a run has not is null throughout it; else no cell is null.
    id : str
        The ID measure's column.
    ood : tuple of str
        The OOD measures' columns.
    errors : frame or None
        Standard errors of the cells, in the units of the measures: the rows of ``rows``, a column a measure whose
        errors are known.
    reruns : mapping
        Each run that repeats another one's configuration, to that one.
    notes : tuple of str
        What was left out or guessed on the way.

    Examples
    --------
    >>> table = pl.DataFrame({"net": ["a"] * 6, "at": range(6), "val": range(6), "shift": [3, 1, 2, 5, 4, 6]})
    >>> found = read(table, run="net", step="at", id="val", ood=["shift"])
    >>> found.runs, found.values("shift")[0].tolist()
    (('a',), [3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    """

    rows: pl.DataFrame
    id: str
    ood: tuple[str, ...]
    errors: pl.DataFrame | None = None
    reruns: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(self.rows["run"].unique(maintain_order=True))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(self.rows["group"].unique(maintain_order=True))

    @property
    def kin(self) -> tuple[str, ...]:
        """What each run is kin to."""
        return tuple(self.rows.group_by("run", maintain_order=True).agg(pl.col("kin").first())["kin"])

    @property
    def shares(self) -> bool:
        """Whether all measures are shares."""
        known = self.rows.select(self.measures)
        return all(low >= 0 and high <= 1 for low, high in zip(known.min().row(0), known.max().row(0), strict=True))

    @property
    def measures(self) -> tuple[str, ...]:
        """The ID measure and the OOD measures."""
        return (self.id, *self.ood)

    def values(self, column: str) -> tuple[Array, ...]:
        """A column as a vector a run; NaN where a run has not the measure."""
        return split(self.rows, column)

    def after(self, step: float) -> Checkpoints:
        """The checkpoints after a step, of the runs that have six of them.

        Raises
        ------
        UserError
            No run has.
        """
        later = pl.col("step") > step
        enough = later.sum().over("run") >= LEAST_CHECKPOINTS
        if not self.rows.select((later & enough).any()).item():
            raise UserError(
                f"Expected a run with at least {LEAST_CHECKPOINTS} checkpoints after step {step:g}, but there is none."
            )
        return self._of(later & enough)

    @property
    def last(self) -> pl.DataFrame:
        """The last checkpoint of each run that has every measure: ``run``, ``kin`` and a column a measure."""
        return (
            self.rows.drop_nulls(self.measures)
            .group_by("run", maintain_order=True)
            .last()
            .select("run", "kin", *self.measures)
        )

    def of_group(self, group: str) -> Checkpoints:
        return self._of(pl.col("group") == group)

    def _of(self, wanted: pl.Expr) -> Checkpoints:
        mask = self.rows.select(wanted).to_series()
        return replace(
            self, rows=self.rows.filter(mask), errors=None if self.errors is None else self.errors.filter(mask)
        )

    def _known(self, measure: str) -> pl.Series | None:
        return None if self.errors is None or measure not in self.errors.columns else self.errors[measure]

    def error_variances(self, measure: str) -> tuple[float, ...]:
        """Mean squared standard error of a measure's cells along each run; NaN where they are not known."""
        known = self._known(measure)
        if known is None:
            return (float("nan"),) * len(self.runs)
        squares = (
            self.rows.select("run", error=known).group_by("run", maintain_order=True).agg((pl.col("error") ** 2).mean())
        )
        return tuple(float("nan") if each is None else each for each in squares["error"])

    def binomial(self, measure: str) -> float | None:
        """The standard error that a cell of a measure has in the root mean square; None where errors are not known."""
        known = self._known(measure)
        return None if known is None else float(np.sqrt((known**2).mean()))  # type: ignore[arg-type]  # a float column

    def items(self, measure: str) -> float:
        """Items of a measure that is a share, from its standard errors: the median of ``p (1 - p) / se^2 + 1``.

        NaN where the errors are not known or the values are no shares.
        """
        known = self._known(measure)
        if known is None:
            return float("nan")
        share, error = self.rows[measure].to_numpy().astype(float), known.to_numpy().astype(float)
        within = (error > 0) & (share > 0) & (share < 1)
        return (
            float(np.median(share[within] * (1 - share[within]) / error[within] ** 2 + 1))
            if within.any()
            else float("nan")
        )

    def differences(self, measure: str) -> Iterator[Array]:
        """Of each rerun its values less those of the run that it repeats, at the steps that both have: six at least."""
        for repeat, original in self.reruns.items():
            both = [self.rows.filter(pl.col("run") == run).select("step", measure) for run in (repeat, original)]
            joined = both[0].join(both[1], on="step", maintain_order="left").drop_nulls()
            if joined.height >= LEAST_CHECKPOINTS:
                yield (joined[measure] - joined[f"{measure}_right"]).to_numpy()

    def steps_below(self, measure: str, limit: float) -> float:
        """Share of neighbouring checkpoints of a run that differ by less than a limit."""
        steps = self.rows.select(pl.col(measure).diff().over("run").abs()).to_series().drop_nulls()
        return float((steps < limit).mean())  # type: ignore[arg-type]  # a Boolean column

    def ends_below(self, measure: str, limit: float) -> float | None:
        """Share of the pairs of runs, no kin, whose last values differ by less than a limit; None without a pair."""
        last = self.rows.drop_nulls(measure).group_by("run", maintain_order=True).agg(pl.col("kin", measure).last())
        values, kin = last[measure].to_numpy(), last["kin"].to_numpy()
        apart = np.triu(kin[:, None] != kin, 1)
        return float((np.abs(values[:, None] - values)[apart] < limit).mean()) if apart.any() else None


def split(rows: pl.DataFrame, column: str) -> tuple[Array, ...]:
    """A column of sorted rows as a vector a run, null as NaN."""
    ends = np.flatnonzero((rows["run"] != rows["run"].shift(1)).fill_null(True).to_numpy())[1:]
    return tuple(np.split(rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy(), ends))


def read(
    data: Any, *, run: str | Sequence[str], step: str, id: str, ood: Sequence[str], errors: Any = None,
    rerun: str = RERUN, kin: str | None = None, group: str | None = None,
) -> Checkpoints:  # fmt: skip
    """Checkpoints of runs, from a table with a row a checkpoint.

    Parameters
    ----------
    data : frame
    run : the column of a run's name, or several columns that name it together
    step : the column of the step (or of tokens seen)
    id, ood : columns of the measures
    errors : frame or mapping, optional
        Standard errors of cells: a frame of the rows of ``data`` and columns of the same names; or measure to the
        column of ``data`` that holds its errors.
    rerun : a column of configurations, or a pattern
        What a rerun's name has beyond that of the run that it repeats; such runs are kin, and give the noise floor.
    kin : a column, or a pattern, optional
        What is taken out of a run's name for the name that its kin share (as ``-deduped``), or with a group ``unit``
        (as ``(?P<unit>.+)_seed``) what they share. Kin are one unit of inference.
    group : a column by which runs are analysed apart (as sizes); all together where left out

    Raises
    ------
    UserError
        Columns are missing or hold no numbers; a run has several rows at a step; no run has six complete checkpoints.

    Examples
    --------
    >>> steps, values = [*range(7)] * 2, [0.1 * i for i in range(14)]
    >>> table = pl.DataFrame({"net": ["a"] * 7 + ["a-rerun"] * 7, "step": steps, "val": values, "shift": values})
    >>> found = read(table, run="net", step="step", id="val", ood=["shift"])
    >>> dict(found.reruns), found.rows["kin"].unique().to_list()
    ({'a-rerun': 'a'}, ['a'])
    """
    frame = as_frame(data)
    columns = [run] if isinstance(run, str) else list(run)
    asked = [id, *dict.fromkeys(ood)]
    _asked(asked, [*columns, step], frame, group)
    named = pl.select(pl.concat_str([names(frame, name) for name in columns], separator=" ")).to_series()
    rows = pl.DataFrame({"run": named}).with_columns(
        group=names(frame, group).fill_null("none") if group else pl.lit(""),
        configuration=_shared_name(frame, named, "--rerun", rerun),
        kin=_shared_name(frame, named, "--unit", kin),
        step=numbers(frame, step).values,
        **{name: numbers(frame, name).values for name in asked},
    )
    if empty := [name for name in asked if rows[name].null_count() == rows.height]:
        raise UserError(f"Expected numbers in the column {empty[0]}, but all {rows.height} cells are empty.")
    rows = pl.concat([rows, _errors_of(frame, errors, asked)], how="horizontal")
    rows, notes = _complete(rows, asked, step)
    repeats = _reruns(rows)
    kindred = dict(rows.select("run", "kin").unique().iter_rows())
    rows = rows.with_columns(kin=pl.col("run").replace(repeats).replace(kindred)).drop("configuration")
    known = [name for name in rows.columns if name.startswith(ERROR)]
    return Checkpoints(
        rows.drop(known), id, tuple(asked[1:]), rows.select(pl.col(known).name.map(_bare)) if known else None, repeats,
        (*notes, *_said(rows, repeats)),
    )  # fmt: skip


def of_options(
    frame: pl.DataFrame, *, step: str, model: str = "model", id: str | None = None, ood: Sequence[str] = (),
    error: str | None = None, unit: str | None = None, rerun: str = RERUN, **others: Any,
) -> Checkpoints:  # fmt: skip
    """Checkpoints of runs as the command line names them: ``model`` is the run, ``unit`` what its kin share.

    Raises
    ------
    UserError
        As :func:`read`; an option that says nothing of checkpoints is given.

    Examples
    --------
    >>> table = pl.DataFrame({"model": ["a"] * 6, "at": range(6), "val": range(6), "shift": [3, 1, 2, 5, 4, 6]})
    >>> of_options(table, step="at", id="val", ood=["shift"]).id
    'val'
    """
    if unfit := [name for name in ("strategy", "ece", "study") if others.get(name)]:
        raise UserError(
            f"Expected --step without --{unfit[0]}, for rows are checkpoints of runs. Leave one of them out."
        )
    if id is None or not ood:
        raise UserError("Expected the ID and OOD columns of checkpoints. Name them: --id COLUMN --ood COLUMN COLUMN.")
    errors = None if error is None else {name: error.replace("{}", name) for name in (id, *ood)}
    return read(frame, run=model, step=step, id=id, ood=ood, errors=errors, kin=unit, rerun=rerun)


ERROR = "standard error of "


def _bare(name: str) -> str:
    return name.removeprefix(ERROR)


def _asked(asked: Sequence[str], labels: Sequence[str], frame: pl.DataFrame, group: str | None) -> None:
    require(frame, [*labels, *asked, *([group] if group else [])])
    if len(asked) < 2:
        raise UserError("Expected at least one OOD measure beside the ID measure, but got none. Name it with --ood.")
    for name in asked:
        if asked.count(name) > 1 or name in labels:
            raise UserError(f"Expected each column in one role, but {name} is named twice. Name it once.")
        if name in OWN:
            raise UserError(f"Expected another name than {name} for a measure, for the tables use it. Rename it.")


def _errors_of(frame: pl.DataFrame, errors: Any, asked: Sequence[str]) -> pl.DataFrame:
    """Columns of the standard errors of those measures that have them."""
    if errors is None:
        return pl.DataFrame()
    source, columns = (frame, dict(errors)) if isinstance(errors, Mapping) else (as_frame(errors), {})
    if source.height != frame.height:
        raise UserError(
            f"Expected standard errors of the same {frame.height} rows, but got {source.height}. "
            "Pass both tables whole."
        )
    columns = columns or {name: name for name in asked if name in source.columns}
    require(source, list(columns.values()))
    return pl.DataFrame([numbers(source, column).values.alias(ERROR + name) for name, column in columns.items()])


def _complete(rows: pl.DataFrame, asked: Sequence[str], step: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The checkpoints that have every measure of their run, in order; runs of six at least; and what was left out."""
    notes = []
    placed = rows.filter(pl.col("run").is_not_null(), pl.col("step").is_not_null()).unique(maintain_order=True)
    if lost := rows.height - placed.height:
        notes.append(f"Left out {lost} rows without a run or a {step}, or that another row repeats.")
    _one_a_step(placed, step)
    placed = placed.sort("run", "step", maintain_order=True)
    has = {name: pl.col(name).is_not_null().mean().over("run") > MOSTLY for name in asked}
    placed = placed.with_columns(pl.when(there).then(pl.col(name)).alias(name) for name, there in has.items())
    gaps = pl.any_horizontal(pl.col(name).is_null() & there for name, there in has.items())
    whole = placed.filter(pl.col(asked[0]).is_not_null() & ~gaps) if placed.height else placed
    if lost := placed.height - whole.height:
        notes.append(f"Left out {lost} of {placed.height} checkpoints that miss a measure of their run.")
    kept = whole.filter(pl.len().over("run") >= LEAST_CHECKPOINTS)
    short = sorted(set(rows["run"].drop_nulls()) - set(kept["run"]))
    if kept.is_empty():
        raise UserError(
            f"Expected a run with at least {LEAST_CHECKPOINTS} checkpoints that have {asked[0]} and the OOD measures, "
            f"but none of {len(short)} {plural('run')} has. Name other columns, or check the column of runs."
        )
    if short:
        notes.append(
            f"Left out {len(short)} runs of fewer than {LEAST_CHECKPOINTS} complete checkpoints: {listed(short)}."
        )
    return kept, tuple(notes)


def _one_a_step(rows: pl.DataFrame, step: str) -> None:
    several = rows.group_by("run", "step", maintain_order=True).len().filter(pl.col("len") > 1)
    if several.height:
        name, at, count = several.row(0)
        raise UserError(
            f"Expected one row a run and {step}, but {name} has {count} at {at:g} ({several.height} such checkpoints). "
            "Name further columns that tell runs apart, or keep the rows of one setting."
        )


def _reruns(rows: pl.DataFrame) -> dict[str, str]:
    """Each run that shares another one's configuration, to the one of them whose name is shortest."""
    named = rows.select("run", "configuration").unique(maintain_order=True)
    named = named.with_columns(letters=pl.col("run").str.len_chars()).sort("letters", "run")
    original = named.select("run", original=pl.col("run").first().over("configuration"))
    return dict(original.filter(pl.col("run") != pl.col("original")).sort("run").iter_rows())


def _shared_name(frame: pl.DataFrame, run: pl.Series, option: str, how: str | None) -> pl.Series:
    """What runs share by a column, or a pattern on their names: its group ``unit``, else what it does not take out."""
    if how is None:
        return run
    if how in frame.columns:
        return pl.select(pl.coalesce(names(frame, how), run)).to_series()
    try:
        pattern = re.compile(how)
    except re.error as error:
        raise UserError(f"Expected a column or a pattern after {option}, but got {how!r} ({error}).") from None
    known = run.drop_nulls().unique()
    bare = [_bare_of(pattern, name) for name in known]
    return run.replace_strict(known, pl.Series(bare, dtype=pl.String), default=None, return_dtype=pl.String)


def _bare_of(pattern: re.Pattern[str], name: str) -> str:
    if "unit" in pattern.groupindex:
        found = pattern.search(name)
        return found["unit"] if found else name
    return pattern.sub("", name)


def _said(rows: pl.DataFrame, reruns: Mapping[str, str]) -> tuple[str, ...]:
    runs, units = rows["run"].n_unique(), rows["kin"].n_unique()
    said = [f"{len(reruns)} runs repeat another one's configuration: {listed(sorted(reruns))}."] if reruns else []
    if units < runs:
        said.append(f"{runs} runs are {units} independent units: kin are averaged before any interval or test.")
    return tuple(said)
