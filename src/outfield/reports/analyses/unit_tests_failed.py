from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses._parts import drawn_over, of_parts, over_strategies
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results


@dataclass(frozen=True)
class UnitTestsFailed(Analysis):
    """How many synthetic unit tests each detector fails: those whose FPR at 95% ID kept is above 10% [1].

    The mean over strategies, seeds averaged; the line spans the strategies. ``surely`` counts the tests whose interval
    lies above 10% as a whole.

    Parameters
    ----------
    most : float
        The largest FPR that passes.

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    most: float = 0.1

    title: ClassVar[str] = "Which detectors fail the unit tests?"
    question: ClassVar[str] = "How many synthetic unit tests does each detector fail?"
    needs: ClassVar[frozenset[str]] = frozenset({"part", "fpr_at_95_id"})
    legend: ClassVar[Legend] = "information"

    def __post_init__(self) -> None:
        if not 0 <= self.most < 1:
            raise UserError(f"Expected the largest FPR that passes in [0, 1), but got {self.most}. Pass a share.")

    def of(self, results: Results) -> Result:
        rows = of_parts(results, synthetic=True).with_columns(
            failed=pl.col("value") > self.most, clear=(pl.col("low") > self.most).fill_null(False)
        )
        counts = rows.group_by("detector", "strategy", "model").agg(
            value=pl.col("failed").sum().cast(float), surely=pl.col("clear").sum().cast(float)
        )
        table = (
            over_strategies(counts, ("value", "surely"))
            .join(_hardest(rows), on="detector")
            .rename({"detector": "name"})
        )
        table = table.with_columns(
            tests=pl.lit(rows["part"].n_unique()),
            information=pl.col("name").replace_strict(results.information, default="other"),
        ).sort("value", "name")
        return Result(table, (_answer(table), _drawn(table, self.most)), strip(table, "failed unit tests"))


def _hardest(rows: pl.DataFrame) -> pl.DataFrame:
    """The test of the largest mean FPR, all that tie."""
    means = rows.group_by("detector", "part").agg(pl.col("value").mean())
    most = pl.col("value") >= pl.col("value").max().over("detector") - 1e-12
    kept = means.filter(most, pl.col("value") > 0).sort("part")
    found = kept.group_by("detector").agg(hardest=pl.col("part").str.join(", "))
    return rows.select("detector").unique().join(found, on="detector", how="left")


def _answer(table: pl.DataFrame) -> str:
    least, tests = table["value"][0], table["tests"][0]
    best = with_and(table.filter(pl.col("value") <= least + 1e-12)["name"].to_list())
    most = table["value"].to_numpy().max()
    worst = with_and(table.filter(pl.col("value") >= most - 1e-12)["name"].to_list())
    if least == most:
        return f"All detectors fail {least:.1f} of the {tests} unit tests."
    fails = "fail" if " and " in best else "fails"
    return f"Of the {tests} unit tests {best} {fails} fewest, {least:.1f}; {worst} most, {most:.1f}."


def _drawn(table: pl.DataFrame, most: float) -> str:
    over = drawn_over(table)
    return f"A test is failed where more than {most:.0%} of its pictures are accepted at 95% ID kept; {over}."
