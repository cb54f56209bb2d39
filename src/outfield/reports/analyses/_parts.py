"""Rows of the parts of pooled sets: the unit tests of a synthetic set, the classes of an OOD set."""

from __future__ import annotations

import polars as pl

from outfield.errors import UserError
from outfield.reports.results import Results

FPR = "fpr_at_95_id"
"""The share of OOD inputs that are accepted where 95% of ID inputs are: NINCO's FPR."""


def of_parts(results: Results, *, synthetic: bool) -> pl.DataFrame:
    """FPRs of the parts of synthetic sets, or of the others.

    Raises
    ------
    UserError
        There are none.
    """
    rows = results.rows.filter(
        pl.col("role") == "test",
        pl.col("metric") == FPR,
        pl.col("part").is_not_null(),
        pl.col("detector").is_not_null(),
        pl.col("value").is_not_null(),
        (pl.col("ood_category") == "synthetic").fill_null(False) == synthetic,
    )
    if rows.is_empty():
        kind = "a synthetic OOD set of several unit tests" if synthetic else "an OOD set whose rows name their classes"
        raise UserError(
            f"Expected the FPR at 95% ID kept of the parts of {kind}, but there is none. Add such a set to the study."
        )
    return rows


def drawn_over(table: pl.DataFrame) -> str:
    """What the dots and lines of such a table are."""
    count = int(table["n"].to_numpy().max())
    return f"mean over {count} strategies, lines from the lowest to the highest" if count != 1 else "one strategy"


def over_strategies(per_model: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Means over seeds, then over strategies, of columns that each model has for a detector; the ends of the first."""
    strategies = per_model.group_by("detector", "strategy").agg(pl.col(columns).mean())
    first = columns[0]
    ends = pl.col(first).min().alias("low"), pl.col(first).max().alias("high"), pl.len().alias("n")
    return strategies.group_by("detector").agg(pl.col(columns).mean(), *ends)
