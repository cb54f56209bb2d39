"""Anyone's table of results as measures of models: wide (a column a measure) or long (a row a value)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, near, reading
from outfield.places import is_remote, place
from outfield.stats.frames import as_frame, require
from outfield.store import foreign_results, query
from outfield.store.settings import told_apart
from outfield.tables.base import Measures
from outfield.tables.cells import names
from outfield.tables.long import MEAN, long
from outfield.tables.sets import by_set
from outfield.tables.text import Sheet, sheet
from outfield.tables.wide import wide

__all__ = ["MEAN", "Measures", "measures", "table"]


def measures(
    data: Any, *, model: str | None = None, family: str | None = None, id: str | None = None, ood: Sequence[str] = (),
    ece: str | None = None, baseline: str | None = None, strategy: str | None = None, study: str | None = None,
    items: Mapping[str, int] | None = None, duplicates: Sequence[str] = (), kind: str | None = None,
    higher: Sequence[str] = (), lower: Sequence[str] = (), error: str | None = None, unit: str | None = None,
    step: str | None = None, runs: int | None = None,
) -> Measures:  # fmt: skip
    """Measures of a table: outfield's (or a peer's) long rows, or a wide table, a row a model.

    Columns may be named by a glob or a regular expression. What is not named is guessed from names and cells where that
    is safe, and noted; else it is asked for. A row without a name or a measure (an empty cell, NA, NaN, infinite) is
    left out, and the notes count and name it. What else was left out stands in ``ignored``.

    Parameters
    ----------
    data : path or frame
    model, family, strategy : columns of names; seeds of one strategy are averaged; a model may have several, ``a+b``
    id, ood, ece : columns of measures of a wide table, shares or percent (by the sign %, else guessed for all
        accuracies, and for all measures of detection, as a whole, and noted)
    baseline : name of the baseline model
    study : value of the column ``study`` to keep
    kind : ``accuracy`` or ``auroc``: what the OOD columns hold; guessed from their names
    higher, lower : OOD columns of which higher, or lower, values are better, where ``kind`` or the name does not tell
    error : pattern of the columns of standard errors, as ``{}_stderr``, or a second file that holds them
    unit : column of what rows are kin to, a pattern on names: ``(?P<unit>.+)_seed\\d+``, or ``row``: each stands alone
    step : column that counts along runs, where the rows are checkpoints; the last of each run is taken
    runs : how many runs a cell is the mean of, where spreads are standard deviations over them

    Raises
    ------
    UserError
        Columns are missing, named twice or hold no numbers, values are no shares, fewer than four units are left, or a
        column that is not named cannot be guessed.

    Examples
    --------
    >>> table = pl.DataFrame({"net": list("abcd"), "top1": [70.0, 71, 72, 73], "sketch": [20.0, 22, 21, 25]})
    >>> found = measures(table, model="net", id="top1", ood=["sketch"])
    >>> found.level, found.column("top1").round(3).tolist()
    ('model', [0.7, 0.71, 0.72, 0.73])
    """
    if kind not in (None, "accuracy", "auroc"):
        raise UserError(f"Expected the kind accuracy or auroc, but got {kind!r}. Leave it out to have it guessed.")
    with reading(_called(data), "a table of results", "Check its columns, or write it as a plain CSV."):
        read = table(data)
        read = replace(read, frame=_of_study(read.frame, study, id))
        if id not in read.frame.columns and (joined := by_set(read, model or "model")) is not None:
            read = joined
        if id is None and {"metric", "value"} <= set(read.frame.columns):
            _unused({"--ood": ood, "--ece": ece, "--higher": higher, "--lower": lower, "--error": error})
            found = long(read, baseline, {"model": model or "model", "family": family, "strategy": strategy}, unit)
        else:
            found = wide(
                read, model=model, family=family, strategy=strategy, id=id, ood=ood, ece=ece, error=error, step=step,
                unit=unit, runs=runs, duplicates=duplicates, kind=kind, higher=higher, lower=lower,
            )  # fmt: skip
    if baseline is not None and baseline not in found.names:
        raise UserError(
            f"Expected the name of a {found.level} with all measures as the baseline, but got {baseline!r}."
            f"{near(baseline, found.names)} It is one of {found.units.height} in the table."
        )
    return replace(found, baseline=baseline, items=found.items or dict(items or {}))


def table(data: Any) -> Sheet:
    """A file, folder, address or frame as a table with rows.

    Raises
    ------
    UserError
        It cannot be read, or has no rows.

    Examples
    --------
    >>> table(pl.DataFrame({"model": ["a"]})).frame.height
    1
    """
    found = _loaded(data)
    if found.frame.is_empty():
        raise UserError(f"Expected a table with rows, but {_called(data)} has none. Add a row a model.")
    return found


def _loaded(data: Any) -> Sheet:
    if not isinstance(data, str | Path):
        return Sheet(as_frame(data))
    if is_remote(place(data)) or Path(data).is_dir():
        return Sheet(told_apart(query.rows(data)))
    found = foreign_results.read(data)
    return sheet(data) if found is None else Sheet(found)


def _called(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else f"the {type(data).__name__}"


def _unused(given: Mapping[str, Any]) -> None:
    if named := [option for option, value in given.items() if value]:
        raise UserError(
            f"Expected {' and '.join(named)} with --id, for they name columns of a wide table, but this one has a row "
            "a measure (columns metric and value). Leave them out, or name the ID measure's column."
        )


def _of_study(frame: pl.DataFrame, study: str | None, id: str | None) -> pl.DataFrame:
    """The rows of the study that is asked for; several of them are an error where none is."""
    if study is None and (id is not None or "study" not in frame.columns):
        return frame
    require(frame, ["study"])
    values = names(frame, "study")
    known = values.unique(maintain_order=True).drop_nulls().to_list()
    if study is None and len(known) > 1:
        raise UserError(
            f"Expected the rows of one study, but the table has {', '.join(known)}. Choose one with --study."
        )
    if study is not None and study not in known:
        raise UserError(f"Expected rows of the study {study!r}, but the table has {', '.join(known)}. Choose one.")
    return frame if study is None else frame.filter(values == study)
