from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield import registry
from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results

NOTHING = {"error_correlation": 0.0, "auroc_correct_vs_incorrect": 0.5}
"""Measures of how a detector's scores follow the model's error, and the value at which they say nothing of it."""


@dataclass(frozen=True)
class ScoreAndError(Analysis):
    """How far each detector's scores follow the model's own error on ID test items.

    Of numbers: the rank correlation of score and error. Of right and wrong: the AUROC of wrong against right items.
    The mean over strategies, seeds averaged; the line spans the strategies.
    """

    title: ClassVar[str] = "Does the score follow the model's own error?"
    question: ClassVar[str] = "Which detector says where the model errs on ID items?"
    needs: ClassVar[frozenset[str]] = frozenset({"detector"})
    legend: ClassVar[Legend] = "information"

    def of(self, results: Results) -> Result:
        name, rows = _rows(results)
        per_strategy = rows.group_by("detector", "strategy").agg(pl.col("value").mean())
        table = per_strategy.group_by("detector").agg(
            pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max(), n=pl.len()
        )
        information = pl.col("name").replace_strict(results.information, default="other")
        table = table.rename({"detector": "name"}).with_columns(information=information)
        table, nothing = table.sort("value", "name", descending=[True, False]), NOTHING[name]
        label = str(registry.find("metrics", name).label)
        return Result(table, (_answer(table, nothing), _drawn(label, table)), strip(table, label, at=nothing))


def _rows(results: Results) -> tuple[str, pl.DataFrame]:
    for name in NOTHING:
        if not (rows := results.metric(name, "id").drop_nulls("detector")).is_empty():
            return name, rows
    raise UserError(
        "Expected rows on how detectors' scores follow the model's error, but there are none. They need ID items with "
        "right answers, of which some are answered better than others."
    )


def _answer(table: pl.DataFrame, nothing: float) -> str:
    best = table.filter(pl.col("value") == pl.col("value").max())
    names = " and ".join(map(str, best["name"].to_list()))
    value = best["value"][0]
    if value <= nothing:
        return f"No detector's score follows the error: {names} comes nearest with {value:.2f}; {nothing:g} is nothing."
    return f"{names} follow{'s' * (best.height == 1)} the error best, with {value:.2f}; {nothing:g} is nothing."


def _drawn(label: str, table: pl.DataFrame) -> str:
    count = int(table["n"].to_numpy().max())
    over = f"Mean over {count} strategies; lines from the lowest to the highest" if count != 1 else "One strategy"
    return f"{label} on the ID test set, by detector. {over}."
