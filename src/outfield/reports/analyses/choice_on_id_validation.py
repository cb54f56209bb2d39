from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.results import Results
from outfield.store.schema import ID_VALIDATION

BY = ["study", "strategy"]


@dataclass(frozen=True)
class ChoiceOnIdValidation(Analysis):
    """Of each strategy the model that does best on the ID validation set, and how it does on left-out domains [1].

    Nobody who chooses a model has seen the domain that it will meet. So a model (a seed, a setting) is chosen on
    training domains alone, and the performance on left-out domains is read off afterwards. ``cost`` is what the choice
    loses against the best model on those domains, which cannot be known; several that tie on validation count by
    their mean.

    References
    ----------
    [1] Gulrajani, Lopez-Paz. In Search of Lost Domain Generalization. ICLR 2021.
    """

    title: ClassVar[str] = "Models chosen on ID validation"
    question: ClassVar[str] = "What do left-out domains hold for the model that is chosen without them?"
    needs: ClassVar[frozenset[str]] = frozenset({ID_VALIDATION, "performance"})

    def of(self, results: Results) -> Result:
        known = results.rows.filter(pl.col("metric") == ID_VALIDATION).select(*BY, "model", val="value")
        met = results.metric(results.performance, "shift").filter(pl.col("detector").is_null())
        met = met.group_by(*BY, "model").agg(left_out=pl.col("value").mean())
        if known.is_empty() or met.is_empty():
            raise UserError(
                f"Expected the {results.performance} on the ID validation set and on left-out domains, but there is "
                "none. Use the task `domains`, which measures both."
            )
        table = chosen(known.join(met, on=[*BY, "model"]), results.higher_is_better)
        return Result(table, (_answer(table, results.higher_is_better), _said(table)))


def chosen(models: pl.DataFrame, higher_is_better: bool = True) -> pl.DataFrame:
    """Of each study and strategy the model with the best ``val``; ``left_out`` is read off after the choice.

    Examples
    --------
    >>> of = {"study": ["s"] * 3, "strategy": ["erm"] * 3}
    >>> models = pl.DataFrame(of | {"model": ["a", "b", "c"], "val": [0.9, 0.8, 0.7], "left_out": [0.4, 0.6, 0.5]})
    >>> chosen(models).select("model", "left_out", "mean", "cost").rows()
    [('a', 0.4, 0.5, 0.19...)]
    """
    sign = 1 if higher_is_better else -1
    edge = (sign * pl.col("val")).max().over(BY)
    whole = models.group_by(BY).agg(
        mean=pl.col("left_out").mean(), best=sign * (sign * pl.col("left_out")).max(), models=pl.len()
    )
    taken = models.filter(sign * pl.col("val") == edge).group_by(BY)
    found = taken.agg(pl.col("model").sort().str.join(", "), pl.col("val").first(), pl.col("left_out").mean())
    found = found.join(whole, on=BY).with_columns(cost=sign * (pl.col("best") - pl.col("left_out")))
    return found.sort("study", sign * pl.col("left_out"), "strategy", descending=[False, True, False])


def _answer(table: pl.DataFrame, higher_is_better: bool) -> str:
    means = table.group_by("strategy").agg(pl.col("left_out").mean())
    values = means["left_out"].drop_nulls().to_numpy()
    edge = float(values.max() if higher_is_better else values.min())
    names = with_and(means.filter(pl.col("left_out") == edge)["strategy"].sort().to_list())
    return f"Chosen on ID validation, {names} does best on left-out domains: {edge:.3f}."


def _said(table: pl.DataFrame) -> str:
    cost = table.select(pl.col("cost").mean()).item()
    return f"The choice costs {cost:.3f} on average against the best of each strategy's models on the left-out domains."
