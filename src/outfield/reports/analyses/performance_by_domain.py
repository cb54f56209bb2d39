from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results
from outfield.store.schema import ID_VALIDATION


@dataclass(frozen=True)
class PerformanceByDomain(Analysis):
    """The performance of each strategy on every domain: those that were left out, and those that it learned in [1].

    A table for each domain: the mean over a strategy's seeds, and its ends. A left-out domain is a shifted set of the
    task ``domains``; a domain that was learned in is a group of the ID test set. The picture shows, for each strategy,
    the left-out domain that it serves worst.

    References
    ----------
    [1] Gulrajani, Lopez-Paz. In Search of Lost Domain Generalization. ICLR 2021.
    """

    title: ClassVar[str] = "{performance} by domain"
    question: ClassVar[str] = "How well does each strategy do in domains that it has not seen?"
    needs: ClassVar[frozenset[str]] = frozenset({"group", ID_VALIDATION, "performance"})

    def of(self, results: Results) -> Result:
        table = _by_strategy(_by_model(results))
        left_out = table.filter("left_out")
        if left_out.is_empty():
            raise UserError("Expected domains that are left out, but there is none. Use the task `domains`.")
        worst = _worst(left_out, results.higher_is_better)
        said = (*_answers(left_out, results.higher_is_better), _drawn(results.performance_label))
        drawn = worst.with_columns(name=pl.format("{}, {}", "strategy", "domain"))
        return Result(table, said, strip(drawn, results.measure.word))


def _by_model(results: Results) -> pl.DataFrame:
    """The performance of each model in each domain: study, strategy, model, domain, left_out, value."""
    rows = results.rows.filter(
        pl.col("metric") == results.performance,
        pl.col("task") == "domains",
        pl.col("detector").is_null(),
        pl.col("value").is_not_null(),
    )
    new = rows.filter(pl.col("set_kind") == "shift", pl.col("role") == "test").with_columns(domain="ood", left_out=True)
    known = rows.filter(pl.col("set_kind") == "id", pl.col("role") == "group").with_columns(
        domain="group", left_out=False
    )
    columns = ("study", "strategy", "model", "domain", "left_out", "value")
    return pl.concat([new.select(columns), known.select(columns)])


def _by_strategy(each: pl.DataFrame) -> pl.DataFrame:
    """Means and ends over models, the left-out domains first."""
    values = pl.col("value").mean(), pl.col("value").min().alias("low"), pl.col("value").max().alias("high")
    found = each.group_by("domain", "left_out", "strategy").agg(*values, n=pl.len())
    return found.sort("left_out", "domain", "value", "strategy", descending=[True, False, True, False])


def _worst(left_out: pl.DataFrame, higher_is_better: bool) -> pl.DataFrame:
    edge = pl.col("value").min() if higher_is_better else pl.col("value").max()
    worst = left_out.filter(pl.col("value") == edge.over("strategy")).sort("domain").unique("strategy", keep="first")
    return worst.sort("value", "strategy", descending=[higher_is_better, False])


def _answers(left_out: pl.DataFrame, higher_is_better: bool) -> tuple[str, str]:
    """Who does best on the mean over left-out domains, and on the worst of them; strategies that tie together."""
    means = left_out.group_by("strategy").agg(pl.col("value").mean())
    count = left_out["domain"].n_unique()
    of = "the left-out domain" if count == 1 else f"the mean over {count} left-out domains"
    worst = _worst(left_out, higher_is_better)
    return _best(means, f"On {of}", higher_is_better), _best(worst, "On its worst left-out domain", higher_is_better)


def _best(table: pl.DataFrame, where: str, higher_is_better: bool) -> str:
    values = table["value"].drop_nulls().to_numpy()
    edge = float(values.max() if higher_is_better else values.min())
    names = with_and(table.filter(pl.col("value") == edge)["strategy"].sort().to_list())
    return f"{where}, {names} does best: {edge:.3f}."


def _drawn(label: str) -> str:
    return f"{label} on the left-out domain that a strategy serves worst; lines span its seeds."
