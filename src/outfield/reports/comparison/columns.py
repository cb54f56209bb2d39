"""Two models of one table: two of its columns, item by item, or two of its rows, measure by measure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, listed, near
from outfield.reports.comparison.logs import VALUES, Log, Reading, ends, frame_of, once
from outfield.stats.frames import as_frame
from outfield.stats.intervals import wilson
from outfield.tables.cells import Numbers, numbers
from outfield.tables.directions import higher_is_better
from outfield.tables.summary_rows import summary_rows

WORD = re.compile(r"[ _.-]+(stderr|std_?err(or)?|se|standard error|±)$", re.IGNORECASE)
"""How the column of a standard error ends."""


def two_of(table: Any, first: str, second: str, how: Reading) -> tuple[Log, Log]:
    """Both models' values in a table, whose columns or rows are named after them.

    Raises
    ------
    UserError
        The table has no such columns or rows, or a row twice.

    Examples
    --------
    >>> table = pl.DataFrame({"item": ["x", "y"], "a": [1, 0], "b": [1, 1]})
    >>> one, two = two_of(table, "a", "b", Reading())
    >>> two.items.select("item", "score").rows()
    [('x', 1.0), ('y', 1.0)]
    """
    frame = as_frame(table)
    if first == second:
        raise UserError(f"Expected two models, but got {first} twice. Name another one.")
    called = Path(str(table)).name if isinstance(table, (str, Path)) else "the table"
    if {first, second} <= set(frame.columns):
        return _columns(frame, (first, second), how, called)
    column = _names(frame, (first, second), how, called)
    return _rows(frame, column, (first, second), how, called)


def _columns(frame: pl.DataFrame, names: tuple[str, str], how: Reading, called: str) -> tuple[Log, Log]:
    """Each row is an item, named by ``how.id``, else by the first column of words that tells rows apart."""
    for option, column in (("--id", how.id), ("--group", how.group), ("--set", how.set)):
        if column is not None and column not in frame.columns:
            raise UserError(f"Expected a column after {option}, but {called} has {listed(frame.columns)}.")
    frame, summed = _without_summaries(frame, names)
    words = [name for name, kind in frame.schema.items() if kind == pl.String and name not in names]
    id = how.id or next((name for name in words if frame[name].is_unique().all()), None)
    items = [str(at) for at in range(frame.height)] if id is None else frame[id].cast(pl.String).to_list()
    scored = {name: _scores(frame, name) for name in names}
    binary = all(set(scores.drop_nulls()) <= {0.0, 1.0} for scores in scored.values())
    metric = how.measure or ("correct" if binary else "value")
    told = {higher_is_better(name) for name in names}
    flag = told.pop() if len(told) == 1 and metric == "value" else None
    higher = {} if flag is None else {metric: flag}
    logs = []
    for name, scores in scored.items():
        rows = [
            {
                "set": "items" if how.set is None else str(frame[how.set][at]), "metric": metric, "item": items[at],
                "score": score, "cluster": None if how.group is None else str(frame[how.group][at]),
            }
            for at, score in enumerate(scores)
            if score is not None
        ]  # fmt: skip
        notes = [] if len(rows) == frame.height else [f"{called}: {frame.height - len(rows)} rows have no {name}."]
        notes += summed
        notes += [] if id else [f"{called} has no column that tells rows apart: items are called by their row."]
        story = {"file": called, "kind": "column of a table"}
        logs.append(Log(name, once(frame_of(rows), called), higher=higher, notes=tuple(notes), story=story))
    first, second = logs
    return first, second


def _without_summaries(frame: pl.DataFrame, names: tuple[str, str]) -> tuple[pl.DataFrame, list[str]]:
    """The rows that are items, and a sentence on those that summarise them (Mean, SD)."""
    first = frame.columns[0]
    if frame.schema[first] != pl.String or first in names:
        return frame, []
    values = {name: _scores(frame, name).to_numpy() for name in names}
    found, _ = summary_rows(frame[first].to_list(), values)
    if not found:
        return frame, []
    kept = pl.Series([row not in found for row in range(frame.height)])
    return frame.filter(kept), [
        f"Left out {len(found)} rows that summarise the others: {listed(list(found.values()))}."
    ]


def _scores(frame: pl.DataFrame, name: str) -> pl.Series:
    found = numbers(frame, name)
    return found.values / 100 if found.percent else found.values


def _names(frame: pl.DataFrame, names: tuple[str, str], how: Reading, called: str) -> str:
    words = [how.id] if how.id else [name for name, kind in frame.schema.items() if kind == pl.String]
    for column in words:
        if column not in frame.columns:
            raise UserError(f"Expected a column of names after --id, but {called} has {listed(frame.columns)}.")
        if set(names) <= set(frame[column].cast(pl.String)):
            return column
    known = [
        *frame.columns,
        *(value for name in words for value in frame[name].cast(pl.String).drop_nulls().head(5000)),
    ]
    lost = next(name for name in names if name not in known) if set(names) - set(known) else names[0]
    raise UserError(
        f"Expected two columns of {called}, or two rows of one column of names, but {lost!r} is not there beside the "
        f"other.{near(lost, known)} Its columns are {listed(frame.columns)}."
    )


def _rows(frame: pl.DataFrame, column: str, names: tuple[str, str], how: Reading, called: str) -> tuple[Log, Log]:
    found = frame.with_columns(pl.col(column).cast(pl.String)).filter(pl.col(column).is_in(names))
    for name in names:
        if (count := int((found[column] == name).sum())) > 1:
            raise UserError(
                f"Expected one row of {name} in {called}, but there are {count}. Name rows that are told apart by one "
                "column (--id), or leave the others out."
            )
    errors = {name: base for name in found.columns if (base := WORD.sub("", name)) != name and base in found.columns}
    measures = [name for name in found.columns if name != column and name not in errors and _is_measure(found, name)]
    if absent := [name for name in how.metrics if name not in measures]:
        raise UserError(f"Expected columns of numbers in {called}, but {listed(absent)} is none of {listed(measures)}.")
    measures = [name for name in measures if not how.metrics or name in how.metrics]
    of_base = {base: name for name, base in errors.items()}
    logs, notes = [], []
    for name in names:
        row = found.filter(pl.col(column) == name)
        values = [one for measure in measures for one in _value(row, measure, of_base.get(measure), how)]
        logs.append((name, pl.DataFrame(values, schema=VALUES)))
    if how.items:
        notes.append(f"Shares are taken as of {how.items:,} items each, as said.")
    if any(_read(found, measure, at).spreads is not None for measure in measures for at in range(found.height)):
        notes.append("What stands behind ± in cells is taken as a standard error.")
    story = {"file": called, "kind": f"row of a table, by its column {column}"}
    first, second = (Log(name, values=values, notes=tuple(notes), story=story) for name, values in logs)
    return first, second


def _is_measure(rows: pl.DataFrame, name: str) -> bool:
    """Whether each row has a number in a column, or nothing; a number in one at least."""
    try:
        return any(_read(rows, name, at).values[0] is not None for at in range(rows.height))
    except UserError:
        return False


def _read(rows: pl.DataFrame, name: str, at: int = 0) -> Numbers:
    """One cell as a number, on its own: percent beside a share is no error here."""
    return numbers(rows[at : at + 1], name)


def _value(row: pl.DataFrame, name: str, error: str | None, how: Reading) -> Iterator[dict[str, Any]]:
    cell = _read(row, name)
    value, beside = cell.values[0], None if cell.spreads is None else cell.spreads[0]
    if value is None:
        return
    if error is not None and beside is None:
        beside = _read(row, error).values[0]
    scale = 0.01 if cell.percent or (how.items and value > 1) else 1.0
    value, beside = value * scale, None if beside is None else beside * scale
    found = ends(value, beside)
    if how.items and beside is None:
        if not 0 <= value <= 1:
            raise UserError(f"Expected shares with --items, but {name} holds {value:g}. Name the shares with --metric.")
        found = dict(zip(("low", "high"), wilson(value * how.items, how.items), strict=True))
    of = {"set": "items", "metric": name} if how.measure is None else {"set": name, "metric": how.measure}
    yield of | {"value": value, "n": how.items} | found
