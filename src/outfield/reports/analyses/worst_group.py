from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results

ID = "ID test"


@dataclass(frozen=True)
class WorstGroup(Analysis):
    """The performance on the group that each model serves worst, on the ID test set and on every shifted set [1].

    Of each model the worst group, then the mean over a strategy's seeds; the line spans the seeds. The worst of several
    groups lies below the truth, the more so the smaller they are: the table has the size of the smallest set behind it.

    References
    ----------
    [1] Sagawa, Koh, Hashimoto, Liang. Distributionally Robust Neural Networks for Group Shifts. ICLR 2020.
    """

    title: ClassVar[str] = "{performance} of the worst group"
    question: ClassVar[str] = "Which group does a model serve worst, and how well?"
    needs: ClassVar[frozenset[str]] = frozenset({"group", "performance"})

    def of(self, results: Results) -> Result:
        of_sets = results.rows.filter(pl.col("metric") == results.performance, pl.col("detector").is_null())
        of_sets = of_sets.with_columns(set=pl.col("ood").fill_null(ID)).drop_nulls("value")
        groups = of_sets.filter(pl.col("role") == "group", pl.col("group").is_not_null())
        if groups.is_empty():
            raise UserError(
                "Expected the performance by group, but no row has one. Name the column of groups: `group`."
            )
        worst = _worst(groups, results.higher_is_better)
        whole = of_sets.filter(pl.col("role") == "test").select("model", "set", whole="value")
        each = worst.join(whole, on=["model", "set"], how="left")
        table = _over_seeds(each).sort("set", "value", "strategy", descending=[False, results.higher_is_better, False])
        return Result(
            table, (_answer(table, results), _drawn(table, results)), strip(_named(table), results.measure.word)
        )


def _worst(groups: pl.DataFrame, higher_is_better: bool) -> pl.DataFrame:
    """Of each model and set the worst group, all that tie."""
    by = ["strategy", "model", "set"]
    edge = pl.col("value").min() if higher_is_better else pl.col("value").max()
    tied = groups.filter(pl.col("value") == edge.over(by))
    counts = groups.group_by(by).agg(groups=pl.col("group").n_unique())
    named = tied.group_by(by).agg(pl.col("value").first(), worst=pl.col("group").sort().str.join(", "))
    return named.join(counts, on=by)


def _over_seeds(each: pl.DataFrame) -> pl.DataFrame:
    ends = pl.col("value").min().alias("low"), pl.col("value").max().alias("high")
    names = pl.col("worst").unique().sort().str.join(" or ")
    means = pl.col("value", "whole").mean()
    by = ["strategy", "set"]
    return each.group_by(by).agg(means, *ends, names, pl.col("groups").max(), n=pl.len())


def _named(table: pl.DataFrame) -> pl.DataFrame:
    """The table with a name for every row of the picture."""
    several = table["set"].n_unique() > 1
    name = pl.format("{}, {}", "strategy", "set") if several else pl.col("strategy")
    return table.with_columns(name=name)


def _answer(table: pl.DataFrame, results: Results) -> str:
    first = ID if ID in table["set"].to_list() else table["set"][0]
    some = table.filter(pl.col("set") == first)
    best = some["value"].max() if results.higher_is_better else some["value"].min()
    names = with_and(some.filter(pl.col("value") == best)["strategy"].to_list())
    row = some.filter(pl.col("value") == best).row(0, named=True)
    beside = "" if row["whole"] is None else f", {row['whole']:.3f} on all its items"
    served = f"{row['value']:.3f} ({row['worst']}){beside}"
    return f"Of the worst groups on the {first} set, that of {names} is served best: {served}."


def _drawn(table: pl.DataFrame, results: Results) -> str:
    count = table["groups"].to_numpy().max()
    return f"{results.performance_label} of the worst of up to {count} groups; lines span the seeds."
