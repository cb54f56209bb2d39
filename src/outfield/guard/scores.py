"""Scores from a table that `guard score` wrote: a row an input."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.stats.frames import as_frame, require
from outfield.types import Array


def read(path: Path, groups: str | None = None) -> tuple[Array, Array | None]:
    """The scores of a table that ``guard score`` made, in its order, and the groups of a column; empty cells are NaN.

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
