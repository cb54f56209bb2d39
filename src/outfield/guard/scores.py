"""Verdicts as a file, and scores from one: a row an input, with the name that it has in its data."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from outfield.data.base import Dataset
from outfield.data.datasets import Rows
from outfield.errors import UserError
from outfield.guard.verdicts import Answers
from outfield.stats.frames import as_frame, require
from outfield.store.spreadsheet import without_formulas
from outfield.store.write import atomically
from outfield.types import Array


def written(answers: Answers, data: Dataset, path: Path) -> Path:
    """Write answers as ``.csv`` or ``.parquet``: input, prediction, score, p, verdict.

    Raises
    ------
    UserError
        Another ending, or the file cannot be written.
    """
    names = [data.name_of(row) if isinstance(data, Rows) else str(row) for row in range(len(data))]
    table = answers.frame().insert_column(0, pl.Series("input", names))
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"Expected a file of .csv or .parquet, but got {path.name!r}. Choose one of these.")
    with atomically(path) as temporary:
        if path.suffix == ".parquet":
            table.write_parquet(temporary)
        else:
            without_formulas(table).write_csv(temporary)
    return path


def read(path: Path, groups: str | None = None) -> tuple[Array, Array | None]:
    """The scores of a table that :func:`written` made, in its order, and the groups of a column; empty cells are NaN.

    Raises
    ------
    UserError
        No such file or column, or scores that are no numbers.
    """
    table = as_frame(path)
    require(table, ["score", *([] if groups is None else [groups])])
    if not (table["score"].dtype.is_numeric() or table["score"].dtype == pl.Null):
        raise UserError(f"Expected numbers in the column score of {path.name}, but it holds {table['score'].dtype}.")
    named = None if groups is None else table[groups].cast(pl.String).to_numpy()
    return table["score"].cast(pl.Float64).fill_null(float("nan")).to_numpy(), named
