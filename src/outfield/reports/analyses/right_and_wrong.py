from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.results import Results

AGAINST = {"auroc": "all ID", "auroc_correct_vs_ood": "right ID", "auroc_incorrect_vs_ood": "wrong ID"}


@dataclass(frozen=True)
class RightAndWrong(Analysis):
    """OOD inputs against the ID inputs that a model gets right, and against those that it gets wrong, by strategy.

    The means of three AUROCs over detectors and OOD sets, seeds averaged. A model that was trained on wrong labels is
    unsure of ID inputs too: detectors then take its errors for OOD, and OOD for them.
    """

    title: ClassVar[str] = "OOD inputs against right and wrong ID inputs"
    question: ClassVar[str] = "How much of OOD detection is lost where the model is wrong, by how it was trained?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "auroc_correct_vs_ood"})

    def of(self, results: Results) -> Result:
        tidy = _tidy(results)
        wide = tidy.pivot("against", index="strategy", values="auroc")
        table = wide.join(_performance(results), on="strategy", how="left").sort(
            "all ID", "strategy", descending=[True, False]
        )
        return Result(table, (*_answer(table), _drawn(results)), _picture(tidy, table["strategy"].to_list()))


def _tidy(results: Results) -> pl.DataFrame:
    rows = results.test.filter(pl.col("set_kind") == "ood", pl.col("metric").is_in(list(AGAINST))).drop_nulls(
        "detector"
    )
    if rows.is_empty():
        raise UserError("Expected AUROCs of detectors against right and wrong ID inputs, but there are none.")
    each = rows.group_by("strategy", "metric", "detector", "ood").agg(pl.col("value").mean())
    means = each.group_by("strategy", "metric").agg(auroc=pl.col("value").mean())
    named = means.with_columns(against=pl.col("metric").replace_strict(AGAINST))
    return named.select("strategy", "against", "auroc").sort("strategy", "against")


def _performance(results: Results) -> pl.DataFrame:
    return results.strategies.select("strategy", results.performance).rename(
        {results.performance: results.measure.word}
    )


def _answer(table: pl.DataFrame) -> tuple[str, ...]:
    best, worst = table.row(0, named=True), table.row(-1, named=True)
    first = (
        f"The mean AUROC of all detectors is highest for {best['strategy']}, {best['all ID']:.2f}, and lowest for "
        f"{worst['strategy']}, {worst['all ID']:.2f}."
    )
    if table.height == 1:
        first = f"The mean AUROC of all detectors is {best['all ID']:.2f} for {best['strategy']}."
    if "wrong ID" not in table.columns or worst["wrong ID"] is None:
        return (first,)
    return (
        first,
        f"Against the ID inputs that {worst['strategy']} gets right it is {worst['right ID']:.2f}, against those "
        f"that it gets wrong {worst['wrong ID']:.2f}; 0.5 is a coin.",
    )


def _drawn(results: Results) -> str:
    return (
        f"Means over {len(results.detectors)} detectors and {results.auroc['ood'].n_unique()} OOD sets, seeds "
        "averaged. Where a model makes no error there is nothing to compare with."
    )


def _picture(tidy: pl.DataFrame, order: list[str]) -> alt.TopLevelMixin:
    colours = [style.GREY, style.BLUE, style.VERMILION]
    scale = alt.Scale(domain=list(AGAINST.values()), range=colours)
    tips = [style.name("strategy", "strategy"), style.name("against", "against"), style.tip("auroc", "AUROC")]
    dots = alt.Chart(style.rows(tidy)).mark_point(filled=True, size=75, opacity=1)
    line = alt.Chart(style.rows(pl.DataFrame({"at": [0.5]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    across = alt.Scale(zero=False)
    return alt.layer(
        line.encode(x=alt.X("at:Q", title="mean AUROC of OOD inputs", scale=across)),
        dots.encode(
            x=alt.X("auroc:Q", title="mean AUROC of OOD inputs", scale=across),
            y=alt.Y("strategy:N", sort=order, title=None, axis=alt.Axis(labelLimit=190)),
            color=alt.Color("against:N", scale=scale, legend=alt.Legend(orient="top", title="against")), tooltip=tips,
        ),
    ).properties(width="container", height=22 * len(order))  # fmt: skip
