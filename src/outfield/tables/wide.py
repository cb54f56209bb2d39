"""A wide table, a row a model and a column a measure, as measures of units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from outfield.errors import UserError, listed, plural, with_and
from outfield.stats.frames import require
from outfield.tables.base import FAMILY, NO_FAMILY, OWN, Measures, errors_of_means
from outfield.tables.cells import Numbers, names, numbers, without_name
from outfield.tables.columns import Roles, is_standard_error, joined, roles
from outfield.tables.directions import directions, unknown
from outfield.tables.kin import ROW, with_kin
from outfield.tables.shares import scales
from outfield.tables.summary_rows import summary_rows
from outfield.tables.text import Ignored, Sheet, sheet

UNIT = "__unit"
ERROR = "__error "
"""What stands before a measure's name in the column of its errors."""
SECOND = "__second "
"""What stands before the name of a column of a second file."""


def wide(
    table: Sheet, *, model: str | None, family: str | None, strategy: str | None, id: str | None, ood: Sequence[str],
    ece: str | None, error: str | None, step: str | None, unit: str | None, runs: int | None,
    duplicates: Sequence[str], kind: str | None, higher: Sequence[str], lower: Sequence[str],
) -> Measures:  # fmt: skip
    """Measures of a wide table; see :func:`outfield.tables.measures.measures` for the parameters.

    Raises
    ------
    UserError
        Columns are missing, named twice or hold no numbers, values are no shares, or fewer than four units are left.

    Examples
    --------
    >>> from outfield.tables.measures import measures
    >>> table = {"model": list("abcd"), "acc": ["70 ± 1", "71 ± 1", "72 ± 2", "73 ± 1"], "near": [0.2, 0.3, 0.2, 0.4]}
    >>> found = measures(pl.DataFrame(table), id="acc", ood=["near"])
    >>> found.errors["acc"].to_list()
    [0.01, 0.01, 0.02, 0.01]
    """
    frame, notes = deduplicated(table.frame)
    frame, error, said = _with_second(frame, error)
    found = roles(
        frame, model=model, family=family, strategy=strategy, id=id, ood=ood, ece=ece, error=error, step=step
    )  # fmt: skip
    asked = [found.id, *found.ood, *([found.ece] if found.ece else [])]
    _distinct(frame, asked, found.labels)
    require(frame, [*duplicates])
    frame = frame.with_columns(joined(frame, found.model).alias(UNIT), *(names(frame, name) for name in found.labels))
    frame, summaries, kept = _without_summaries(frame, asked)
    named = [name for name in (found.strategy, found.model[0] if len(found.model) == 1 else None) if name]
    frame, nameless = without_name(frame, named)
    frame, steps = _last_step(frame, found)
    frame, read = _as_shares(frame, asked, found, runs, duplicates)
    others = [name for name in duplicates if name not in asked]
    frame = frame.with_columns([numbers(frame, name).values for name in others])
    units, level, averaged, gaps = _units(frame, found, [*asked, *others], (*nameless, *steps))
    detection = kind == "auroc" if kind else any("auroc" in name.lower() for name in found.ood)
    known = directions(found.ood, higher, lower, True if kind else None)
    errors = [name for name in units.columns if name.startswith(ERROR)]
    made = Measures(
        units.drop(errors), found.id, found.ood, level, detection, found.ece,
        duplicates=tuple(duplicates), repeated=frame.height if level == "strategy" else 0, directions=known,
        notes=(*table.notes, *notes, *found.notes, *said, *kept, *nameless, *steps, *read, *averaged,
               *unknown(found.ood, known)),
        errors=units.select(pl.col(errors).name.map(lambda name: name.removeprefix(ERROR))) if errors else None,
        ignored=ignored_frame((*table.ignored, *summaries, *gaps, *found.ignored)),
    )  # fmt: skip
    return with_kin(made, frame, found.strategy or UNIT, unit or (ROW if found.strategy else None))


def ignored_frame(rows: Sequence[Ignored]) -> pl.DataFrame | None:
    """What the reading left out as a table; None where it is nothing."""
    return pl.DataFrame(list(rows), schema=["what", "name", "why"], orient="row") if rows else None


def deduplicated(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The different rows, and a sentence on those that repeat one.

    Examples
    --------
    >>> deduplicated(pl.DataFrame({"model": ["a", "a"]}))[1]
    ('Dropped 1 duplicate rows.',)
    """
    kept = frame.unique(maintain_order=True)
    lost = frame.height - kept.height
    return kept, (f"Dropped {lost} duplicate rows.",) if lost else ()


def torn(rows: pl.DataFrame) -> tuple[str, ...]:
    """A sentence on the units whose rows name more than one family.

    Examples
    --------
    >>> torn(pl.DataFrame({"unit": ["a", "a"], "family": ["x", "y"]}))
    ('Several families are named for a (x, y): the first of each is kept.',)
    """
    named = rows.filter(pl.col("family") != NO_FAMILY).select("unit", "family").unique(maintain_order=True)
    by_unit = named.group_by("unit", maintain_order=True).agg("family").filter(pl.col("family").list.len() > 1)
    if by_unit.is_empty():
        return ()
    each = [f"{unit} ({', '.join(families)})" for unit, families in by_unit.iter_rows()]
    return (f"Several families are named for {with_and(each)}: the first of each is kept.",)


def _distinct(frame: pl.DataFrame, asked: Sequence[str], labels: Sequence[str]) -> None:
    """``UserError`` for a column that is named in two places, stands twice, or has a name that we use ourselves."""
    for name in asked:
        if asked.count(name) > 1:
            raise UserError(f"Expected each measure once, but {name} is named {asked.count(name)} times. Name it once.")
        if name in labels:
            raise UserError(f"Expected measures and names in columns of their own, but {name} is named as both.")
        if name in OWN:
            raise UserError(f"Expected another name than {name} for a measure, for the tables use it. Rename it.")
    if twice := [name for name in (*asked, *labels) if f"{name}_duplicated_0" in frame.columns]:
        raise UserError(f"Expected one column of a name, but the table has several {twice[0]}. Rename them.")


def _with_second(frame: pl.DataFrame, error: str | None) -> tuple[pl.DataFrame, str | None, tuple[str, ...]]:
    """The table with the columns of a second file of errors, where ``error`` is one, and the pattern of their names."""
    if error is None or not Path(error).is_file():
        return frame, error, ()
    second = sheet(error).frame
    keys = [name for name in frame.columns if name in second.columns and not _measured(frame, name)]
    keys = [name for name in keys if frame[name].null_count() < frame.height]
    if not keys or second.select(keys).is_duplicated().any():
        raise UserError(
            f"Expected the errors in {error} with the names of the table's rows, each once, but {listed(keys) or 'no'} "
            "columns of both name a row there. Give it the table's columns of names."
        )
    renamed = second.rename({name: f"{SECOND}{name}" for name in second.columns if name not in keys})
    kinds = {name: frame.schema[name] for name in keys}
    whole = frame.join(renamed.cast(kinds, strict=False), on=keys, how="left", nulls_equal=True, maintain_order="left")  # type: ignore[arg-type]  # a schema
    return whole, f"{SECOND}{{}}", (f"Took standard errors from {Path(error).name}, by {with_and(keys)}.",)


def _measured(frame: pl.DataFrame, name: str) -> bool:
    return frame.schema[name].is_float()


def _without_summaries(
    frame: pl.DataFrame, asked: Sequence[str]
) -> tuple[pl.DataFrame, tuple[Ignored, ...], tuple[str, ...]]:
    """The rows of models, the rows that summarise them, and sentences on rows that only seem to."""
    columns = {name: read.values.to_numpy().astype(float) for name, read in _readable(frame, asked).items()}
    found, kept = summary_rows(frame[UNIT].to_list(), columns)
    ignored = tuple(("row", str(frame[UNIT][row]), why) for row, why in found.items())
    return frame.filter(~pl.Series(range(frame.height)).is_in(list(found))), ignored, kept


def _readable(frame: pl.DataFrame, asked: Sequence[str]) -> dict[str, Numbers]:
    found = {}
    for name in asked:
        try:
            found[name] = numbers(frame, name)
        except UserError:  # said with its row when the measure is read
            continue
    return found


def _last_step(frame: pl.DataFrame, found: Roles) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The last checkpoint of each run, where the rows are checkpoints."""
    if found.step is None:
        return frame, ()
    known = frame.with_columns(numbers(frame, found.step).values)
    last = known.filter(pl.col(found.step).eq_missing(pl.col(found.step).max().over(found.strategy or UNIT)))
    if last.height == frame.height:
        return frame, ()
    return last, (
        f"Took the last checkpoint of each run by {found.step}: {last.height} of {frame.height} rows. Checkpoints of a "
        "run are not independent.",
    )  # fmt: skip


def _as_shares(
    frame: pl.DataFrame, asked: Sequence[str], found: Roles, runs: int | None, measured: Sequence[str]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Measures and their errors as shares, and what was guessed; columns ``measured`` themselves are no errors."""
    read = {name: numbers(frame, name) for name in asked}
    factors, notes = scales(read, found.id, [found.ece] if found.ece else [])
    values = [(each.values * factors[name] if factors[name] != 1 else each.values) for name, each in read.items()]
    spreads = {name: each.spreads for name, each in read.items() if each.spreads is not None}
    columns = {name: column for name, column in found.errors.items() if name in read and column not in measured}
    spreads |= {name: numbers(frame, column).values for name, column in columns.items()}
    deviations = [name for name in spreads if not is_standard_error(columns.get(name, ""))]
    divided = {name: runs**0.5 if runs and name in deviations else 1.0 for name in spreads}
    errors = [(each.abs() * (factors[name] / divided[name])).alias(f"{ERROR}{name}") for name, each in spreads.items()]
    said = [note for each in read.values() for note in each.notes]
    unsaid = [name for name in deviations if not columns.get(name, "").startswith(SECOND)]
    return frame.with_columns(*values, *errors), (*said, *notes, *_on_spreads(deviations if runs else unsaid, runs))


def _on_spreads(measured: Sequence[str], runs: int | None) -> tuple[str, ...]:
    """A sentence on what spreads are taken for that do not say so."""
    if not measured:
        return ()
    if runs:
        return (
            f"Took the spreads of {listed(list(measured))} for standard deviations over {runs} runs, and divided them "
            f"by the root of {runs}.",
        )  # fmt: skip
    return (
        f"Took the spreads of {listed(list(measured))} for standard errors. If they are standard deviations over runs, "
        "say how many: --runs 3.",
    )  # fmt: skip


def _units(
    frame: pl.DataFrame, found: Roles, asked: Sequence[str], said: Sequence[str]
) -> tuple[pl.DataFrame, str, tuple[str, ...], tuple[Ignored, ...]]:
    """A row a unit, its level, what was averaged, and the units that were left out."""
    word = "strategy" if found.strategy else "model"
    family = pl.col(found.family).fill_null(NO_FAMILY) if found.family else pl.lit("")
    asked = list(dict.fromkeys(asked))
    errors = [name for name in frame.columns if name.startswith(ERROR)]
    named = pl.col(found.strategy or UNIT).alias("unit")
    tidy = frame.select(named, family.alias("family"), *asked, *errors)
    whole, notes = _without_gaps(tidy, asked, word)
    gaps, tidy = _gaps(tidy, whole, asked), whole
    repeated = tidy["unit"].n_unique() < tidy.height
    if repeated:
        notes += (
            f"Averaged {tidy.height} rows over {tidy['unit'].n_unique()} {plural(word)}: "
            f"rows of one are not independent.{_apart(frame, found, asked)}",
            *torn(tidy),
        )
        tidy = tidy.group_by("unit", maintain_order=True).agg(FAMILY, pl.col(asked).mean(), *errors_of_means(errors))
    if tidy.height < 4:
        why = " ".join((*said, *notes))
        raise UserError(
            f"Expected at least four {plural(word)} with all measures, but got {tidy.height}. {why or 'Add rows.'}"
        )
    return tidy, "strategy" if repeated else "model", notes, gaps


def _apart(frame: pl.DataFrame, found: Roles, asked: Sequence[str]) -> str:
    """What tells the rows of one model apart, and how to keep them apart; empty where no column does."""
    if found.strategy:
        return ""
    others = [name for name in frame.columns if name not in (*asked, *found.model) and not name.startswith("__")]
    whole = [name for name in others if frame.schema[name].is_integer() or not _readable(frame, [name])]
    name = next((name for name in whole if frame.select(*found.model, name).n_unique() == frame.height), None)
    model = "+".join((*found.model, str(name)))
    return f" They differ in {name}; to keep them apart, write --model {model}." if name else ""


def _gaps(tidy: pl.DataFrame, whole: pl.DataFrame, columns: Sequence[str]) -> tuple[Ignored, ...]:
    """The units that were left out, and the measures that they miss."""
    lost = tidy.join(whole.select("unit"), on="unit", how="anti").group_by("unit", maintain_order=True)
    missed = lost.agg(pl.col(columns).is_null().any())
    return tuple(
        ("row", str(unit), f"no value of {listed([name for name, gone in zip(columns, flags, strict=True) if gone])}")
        for unit, *flags in missed.iter_rows()
    )


def _without_gaps(tidy: pl.DataFrame, columns: Sequence[str], unit: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The units that have every measure in every row, and a sentence on the others."""
    gaps = tidy.filter(pl.any_horizontal(pl.col(columns).is_null()))
    if gaps.is_empty():
        return tidy, ()
    lost = gaps["unit"].unique(maintain_order=True)
    kept = tidy.filter(~pl.col("unit").is_in(lost.to_list()))
    named = listed([repr(name) for name in lost])
    also = (
        f"; with all rows of these {plural(unit)}, {tidy.height - kept.height} rows"
        if lost.len() != gaps.height or (tidy.height - kept.height > gaps.height)
        else ""
    )
    return kept, (f"Left out {gaps.height} rows that miss a measure (empty or infinite): {named}{also}.",)
