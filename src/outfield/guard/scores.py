"""Verdicts as a file: one row an input, with the name that it has in its data."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from outfield.data.base import Dataset
from outfield.data.datasets import Rows
from outfield.errors import UserError
from outfield.guard.guarded import Answers
from outfield.store.spreadsheet import without_formulas
from outfield.store.write import atomically


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
