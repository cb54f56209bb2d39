from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import with_and
from outfield.reports.analyses._parts import drawn_over, of_parts, over_strategies
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results


@dataclass(frozen=True)
class FprByOodClass(Analysis):
    """The FPR at 95% ID kept, averaged over the classes of the OOD sets, beside that of all their inputs pooled [1].

    A large class decides a pooled FPR; averaged, each class counts once. Both agree where classes are of one size.

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    title: ClassVar[str] = "The FPR, each OOD class counting once"
    question: ClassVar[str] = "Which detector has the lowest FPR where every OOD class counts once?"
    needs: ClassVar[frozenset[str]] = frozenset({"part", "fpr_at_95_id"})
    legend: ClassVar[Legend] = "information"

    def of(self, results: Results) -> Result:
        rows = of_parts(results, synthetic=False)
        size = pl.col("n_ood").cast(pl.Float64).fill_null(1.0)
        pooled = (pl.col("value") * size).sum() / size.sum()
        per_model = rows.group_by("detector", "strategy", "model").agg(pl.col("value").mean(), pooled=pooled)
        table = over_strategies(per_model, ("value", "pooled")).rename({"detector": "name"})
        table = table.with_columns(
            classes=pl.lit(rows.select("ood", "part").n_unique()),
            information=pl.col("name").replace_strict(results.information, default="other"),
        ).sort("value", "name")
        return Result(table, (_answer(table), _drawn(table)), strip(table, "mean FPR at 95% ID kept"))


def _answer(table: pl.DataFrame) -> str:
    least = table["value"][0]
    best = with_and(table.filter(pl.col("value") <= least + 1e-12)["name"].to_list())
    moved = table.select((pl.col("value") - pl.col("pooled")).abs().max()).item()
    over = f"over {table['classes'][0]} OOD classes"
    return f"The lowest mean FPR {over} is {least:.3f}, of {best}; pooling moves it by up to {moved:.3f}."


def _drawn(table: pl.DataFrame) -> str:
    return f"The column pooled counts every input once; {drawn_over(table)}."
