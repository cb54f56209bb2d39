"""A table with a row for each model and set, as one with a row a model and a column a set."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from outfield.stats.frames import select_rows
from outfield.tables.cells import names
from outfield.tables.text import Sheet

SETS = ("ood", "dataset", "downstream_dataset", "set", "test_set", "benchmark", "task", "split")
"""Columns that may name the set of a row."""
VALUES = ("value", "accuracy", "acc", "acc1", "top1", "top-1", "score")
"""Columns that may hold its value."""
LABELS = ("strategy", "family", "category", "seed", "step")
ID = "id"
"""The column of rows that name no set."""


def by_set(table: Sheet, model: str = "model") -> Sheet | None:
    """The table with a column a set; None where its rows are something else.

    That is a table with a column of models, one of sets, and one value: an accuracy, or any one metric but the AUROC of
    detectors, which is averaged over them elsewhere.

    Examples
    --------
    >>> rows = {"model": list("aabb"), "dataset": ["val", "sketch"] * 2, "accuracy": [0.8, 0.4, 0.7, 0.3]}
    >>> by_set(Sheet(pl.DataFrame(rows))).frame.rows()
    [('a', 0.8, 0.4), ('b', 0.7, 0.3)]
    """
    frame = table.frame
    sets = [name for name in SETS if name in frame.columns and frame[name].n_unique() > 1]
    values = [name for name in VALUES if name in frame.columns]
    if model not in frame.columns or len(sets) != 1 or len(values) != 1:
        return None
    rows, metric = select_rows(frame), "the values"
    if "metric" in rows.columns:
        rows, metric = _of_one_metric(rows)
    if rows.is_empty() or rows[sets[0]].n_unique() < 2 or rows[model].n_unique() == rows.height:
        return None
    labels = [model, *(name for name in LABELS if name in rows.columns)]
    cells = (
        rows.with_columns(names(rows, sets[0]).fill_null(ID))
        .select(*labels, sets[0], values[0])
        .unique(maintain_order=True)
    )
    if cells.select(*labels, sets[0]).is_duplicated().any():
        return None
    wide = cells.pivot(sets[0], index=labels, values=values[0], maintain_order=True)
    said = f"Read {metric} of each model on each {sets[0]} as a row a model and a column a set."
    return replace(table, frame=wide, notes=(*table.notes, said))


def _of_one_metric(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows of the accuracy, or of the only metric; none where the metric is one of detectors."""
    metrics = names(rows, "metric")
    known = metrics.drop_nulls().unique().to_list()
    chosen = "accuracy" if "accuracy" in known else known[0] if len(known) == 1 else None
    if chosen is None or "auroc" in known:
        return rows.clear(), ""
    return rows.filter(metrics == chosen), f"the {chosen}"
