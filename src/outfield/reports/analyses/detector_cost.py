from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import strip
from outfield.reports.results import Results
from outfield.stats.decision_cost import Costs, held_out_cost
from outfield.stats.ties import ties
from outfield.store import scores

NEVER, ALWAYS = "never an alarm", "always an alarm"
KEPT = 0.95
"""Share of ID inputs without an alarm at the threshold that rows know of."""


@dataclass(frozen=True)
class DetectorCost(Analysis):
    """What each detector would cost in use: misses and false alarms of 1,000 inputs, beside no detector at all.

    The threshold of a model and detector is that of least cost over all OOD sets, each an equal share of OOD inputs,
    chosen on half of the inputs and judged on the other half, both ways. Rows that come without the scores of their
    inputs know one threshold: that which keeps 95% of ID inputs. A detector's cost is the mean over strategies, seeds
    averaged; the line spans the strategies.

    Parameters
    ----------
    rate : float
        Share of inputs in use that are OOD.
    miss : float
        Cost of an OOD input that passes without an alarm.
    false_alarm : float
        Cost of an alarm on an ID input, in the same unit.
    """

    rate: float = 0.1
    miss: float = 10.0
    false_alarm: float = 1.0

    title: ClassVar[str] = "What a detector would cost in use"
    question: ClassVar[str] = "What would each detector save, given how often inputs are OOD and what errors cost?"
    needs: ClassVar[frozenset[str]] = frozenset({"detector"})
    legend: ClassVar[Legend] = "information"

    def of(self, results: Results) -> Result:
        costs = Costs(self.rate, self.miss, self.false_alarm)
        each, how = _each(results, costs)
        means = each.group_by("detector", "strategy").agg(pl.col("cost").mean())
        table = _table(means, costs, results)
        return Result(table, (*_answer(table, means, costs), _drawn(costs, how)), _picture(table))


def _each(results: Results, costs: Costs) -> tuple[pl.DataFrame, str]:
    """Cost of every model and detector, and at which threshold."""
    if results.folder is not None and (found := list(_of_scores(results, costs))):
        how = "the threshold of least cost, chosen on half of the inputs and judged on the other half, both ways"
        return pl.DataFrame(found), how
    rows = results.metric("fpr_at_95_id", "ood").drop_nulls("detector")
    if rows.is_empty():
        raise UserError(
            "Expected scores of the inputs, or rows of fpr_at_95_id, but there are none. Run the study with OOD sets."
        )
    missed = rows.group_by("detector", "strategy", "model").agg(pl.col("value").mean())
    at = pl.col("value").map_elements(lambda fnr: costs.of(1 - KEPT, fnr), return_dtype=pl.Float64)
    how = f"the threshold that keeps {KEPT:.0%} of ID inputs, since these rows come without the scores of their inputs"
    return missed.with_columns(cost=at), how


def _of_scores(results: Results, costs: Costs) -> Iterator[dict[str, str | float]]:
    sets = set(results.auroc["ood"].unique())
    assert results.folder is not None
    strategies = dict(results.auroc.select("model", "strategy").unique().iter_rows())
    for model in scores.kept(results.folder, sorted(strategies)):
        try:
            table = scores.of_model(results.folder, model)
        except UserError:  # a model whose scores were not kept
            continue
        for (detector,), found in table.partition_by("detector", as_dict=True).items():
            by_set = {
                name: some["score"].to_numpy() for (name,), some in found.partition_by("set", as_dict=True).items()
            }
            unknown = [by_set[name] for name in sorted(sets & set(by_set))]
            if scores.ID in by_set and unknown:
                cost = held_out_cost(by_set[scores.ID], unknown, costs)
                yield {"detector": str(detector), "strategy": strategies[model], "model": model, "cost": cost}


def _table(means: pl.DataFrame, costs: Costs, results: Results) -> pl.DataFrame:
    """A row a detector, and the two ways to do without: cost of 1,000 inputs, and what is saved."""
    value = pl.col("cost")
    found = means.group_by("detector").agg(
        value.mean().alias("value"), value.min().alias("low"), value.max().alias("high")
    )
    information = pl.col("detector").replace_strict(results.information, default="other")
    plain = pl.DataFrame({"detector": [NEVER, ALWAYS], "value": [costs.never, costs.always]}).with_columns(
        low=pl.col("value"), high=pl.col("value"), information=pl.lit("none")
    )
    table = pl.concat([found.with_columns(information=information), plain.select(*found.columns, "information")])
    without = min(costs.never, costs.always)
    return table.rename({"detector": "name"}).with_columns(saved=without - pl.col("value")).sort("value", "name")


def _answer(table: pl.DataFrame, means: pl.DataFrame, costs: Costs) -> Iterator[str]:
    detectors = table.filter(~pl.col("name").is_in([NEVER, ALWAYS]))
    name, value = detectors["name"][0], detectors["value"][0]
    plain, without = (NEVER, costs.never) if costs.never <= costs.always else (ALWAYS, costs.always)
    if value >= without:
        yield f"No detector pays here: {plain} costs {without:,.0f} per 1,000 inputs, the best detector {value:,.0f}."
        return
    yield (
        f"{name} would cost {value:,.0f} per 1,000 inputs, {without - value:,.0f} less than {plain} ({without:,.0f})."
    )
    yield _rivals(name, means)


def _rivals(best: str, means: pl.DataFrame) -> str:
    """Which detectors are tied with the cheapest."""
    wide = means.pivot("detector", index="strategy", values="cost").drop_nulls().sort("strategy")
    names = sorted(set(wide.columns) - {"strategy"})
    if wide.height < 2 or len(names) < 2:
        return ""
    found = ties(wide.select(names).to_numpy(), names=names, higher_is_better=False, level="strategy", measures=True)
    others = [name for name in found.best if name != best]
    over = f"over {wide.height} strategies (paired differences, Holm)"
    return f"Not told apart from it {over}: {with_and(others, most=8)}." if others else f"None is tied with it {over}."


def _drawn(costs: Costs, how: str) -> str:
    return (
        f"Of 1,000 inputs {1000 * costs.rate:,.4g} are OOD; a miss costs {costs.miss:g}, a false alarm "
        f"{costs.false_alarm:g}. Costs are those at {how}. Lines span the strategies."
    )


def _picture(table: pl.DataFrame) -> alt.TopLevelMixin:
    return strip(
        table,
        "cost per 1,000 inputs",
        at=float(np.min(table.filter(pl.col("name").is_in([NEVER, ALWAYS]))["value"].to_numpy())),
    )
