"""What detectors cost."""

from __future__ import annotations

import polars as pl

from outfield.errors import UserError
from outfield.reports.displays.base import Display
from outfield.reports.results import Results


def cost(results: Results) -> Display:
    """Seconds to fit, score and measure, and passes through the model that an input costs."""
    jobs = results.auroc.group_by("model", "detector").agg(pl.col("seconds").first(), pl.col("passes").first())
    if jobs["seconds"].is_null().all():
        raise UserError("These rows do not say what they cost: the columns seconds and passes are empty.")
    table = jobs.group_by("detector").agg(
        pl.col("seconds").median().alias("median_seconds"),
        pl.col("seconds").sum().alias("total_seconds"),
        pl.col("passes").max(),
    )
    information = pl.col("detector").replace_strict(results.information, default="other").alias("information")
    columns = {
        "detector": "Detector",
        "information": "Information used",
        "passes": "Passes per input",
        "median_seconds": "Seconds a model (median)",
        "total_seconds": "Seconds in all",
    }
    caption = (
        f"Time to fit, score and measure after extraction, over {jobs['model'].n_unique()} models; passes count the "
        "one forward pass that all detectors share, and what a detector needs beyond it."
    )
    table = table.with_columns(information).sort("median_seconds", descending=True).select(*columns)
    return Display("cost", "What a detector costs", caption, table, columns=columns, open=True)
