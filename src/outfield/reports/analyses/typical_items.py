from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl
from scipy.stats import spearmanr

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.results import Results
from outfield.store import scores

CONFIDENCE = "msp"
"""The detector whose kept scores are minus a model's confidence in each item."""
KINDS = ("typical", "contested", "missed")


@dataclass(frozen=True)
class TypicalItems(Analysis):
    """Which items of the ID test set are typical, contested or missed by all, from what a study keeps [1].

    Two of the paper's five scores of how well represented an item is: the share of the models that agree on the right
    answer, and their mean confidence where the study keeps the scores of ``msp``. ``outfield.prototypes.prototypes``
    works out all five for a training set; it trains networks to do so.

    References
    ----------
    [1] Carlini, Erlingsson, Papernot. Distribution Density, Tails, and Outliers in Machine Learning: Metrics and
    Applications. 2019.
    """

    most: int = 500

    title: ClassVar[str] = "Typical and contested items"
    question: ClassVar[str] = "Which items do all models find easy, and on which do they part?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})

    def of(self, results: Results) -> Result:
        items, models = _shares(results)
        items = items.join(_confidence(results), on="row", how="left", maintain_order="left")
        right = pl.col("right")
        kind = pl.when(right == 1).then(pl.lit("typical")).when(right == 0).then(pl.lit("missed"))
        items = items.with_columns(kind=kind.otherwise(pl.lit("contested")))
        counts = dict(items.group_by("kind").len().iter_rows())
        table = items.sort("right", "confidence", "row", nulls_last=True).head(self.most)
        return Result(table, (_answer(counts, models), _relation(items), _drawn(items, table)), _chart(items))


def _shares(results: Results) -> tuple[pl.DataFrame, int]:
    """The share of the models that are right on each ID test item that all answered, and how many models there are."""
    known = results.models["model"].to_list()
    found = results.merits.filter(pl.col("set") == "test", pl.col("model").is_in(known)).drop_nulls("merit")
    if not found["merit"].is_in([0.0, 1.0]).all():
        raise UserError("Expected answers that are right or wrong, but these have merits in between. Pass classifiers.")
    models = found["model"].n_unique()
    if models < 2:
        raise UserError(
            f"Expected the answers of at least two models to compare, but got {models}. Add models or seeds."
        )
    each = found.group_by("row").agg(right=pl.col("merit").mean(), models=pl.len()).filter(pl.col("models") == models)
    return each.select("row", "right").sort("row"), models


def _confidence(results: Results) -> pl.DataFrame:
    """Mean confidence of the models in each ID test item; none where the study keeps no such scores."""
    none = pl.DataFrame(schema={"row": pl.Int64, "confidence": pl.Float64})
    if results.folder is None or CONFIDENCE not in results.detectors:
        return none
    kept = []
    for model in scores.kept(results.folder, sorted(results.models["model"].to_list())):
        try:
            found = scores.of_model(results.folder, model, CONFIDENCE)
        except UserError:
            continue
        kept.append(found.filter(pl.col("set") == scores.ID))
    if not kept:
        return none
    means = pl.concat(kept).group_by("row").agg(confidence=-pl.col("score").cast(pl.Float64).mean())
    return means.select(pl.col("row").cast(pl.Int64), "confidence")


def _answer(counts: dict[str, int], models: int) -> str:
    total = sum(counts.values())
    typical, contested, missed = (counts.get(kind, 0) for kind in KINDS)
    return (
        f"All {models} models are right on {typical:,} of {total:,} ID test items, and wrong on {missed:,}; "
        f"they part on the other {contested:,}."
    )


def _relation(items: pl.DataFrame) -> str:
    known = items.drop_nulls("confidence")
    if known.height < 3 or min(known[name].n_unique() for name in ("right", "confidence")) < 2:
        return ""
    rho = float(spearmanr(known["right"], known["confidence"]).statistic)
    return (
        "The rank correlation of the share of models that are right on an item with their mean confidence in it is "
        f"{rho:.2f}: 1 where models are surest of what all get right."
    )


def _drawn(items: pl.DataFrame, table: pl.DataFrame) -> str:
    cut = f" The table has the {table.height:,} lowest of them." if table.height < items.height else ""
    what = (
        "Items by the share of models that are right on them. Look first at those that all miss: a label may be wrong."
    )
    return what + cut


def _chart(items: pl.DataFrame) -> alt.TopLevelMixin:
    counts = items.group_by("right", "kind").agg(items=pl.len()).sort("right")
    scale = alt.Scale(domain=list(KINDS), range=[style.BLUE, style.ORANGE, style.VERMILION])
    bars = alt.Chart(style.rows(counts)).mark_bar(size=10).encode(
        x=alt.X("right:Q", title="share of the models that are right", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("items:Q", title="items (log scale)", scale=alt.Scale(type="symlog")),
        color=alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="bottom")),
        tooltip=[style.name("kind", "kind"), style.tip("right", "share right"), style.tip("items", "items", "d")],
    )  # fmt: skip
    return alt.layer(bars).properties(width="container", height=240)
