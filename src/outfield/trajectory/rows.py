"""What the files of a followed run hold beside the rows of every study."""

from __future__ import annotations

import polars as pl

ITEMS = "items"
"""Folder, beside ``rows``, of the files that say how good the answer to each item was."""
SKIPPED = "skipped"
"""Metric of the row that stands for a checkpoint, or a detector, that could not be measured: ``params`` has why."""


def merits_of(table: pl.DataFrame) -> pl.DataFrame:
    """Items with their merits, also of files of versions that wrote whether each was ``correct``."""
    if "correct" in table.columns:
        return table.select("set", "row", merit=pl.col("correct").cast(pl.Float32))
    return table
