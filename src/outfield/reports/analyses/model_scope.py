from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import ClassVar

import altair as alt
import polars as pl
from scipy import stats

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Legend
from outfield.reports.results import Results
from outfield.store.schema import FULL_SPECTRUM

SCOPE = "auroc_out_of_scope"
TIE = 1e-12
MOST_NAMED = 8
SOURCES = {"wrong": "auroc_correct_vs_incorrect", "ood alone": "auroc_correct_vs_ood"}


@dataclass(frozen=True)
class ModelScope(Analysis):
    """Detectors ranked by what is OOD, and by what the model gets wrong: do both choose the same?

    Each detector's AUROC of OOD against ID inputs, and of all that the model gets wrong (OOD or misclassified) against
    what it gets right: mean over OOD sets and strategies, seeds averaged. Kendall's tau-b compares the rankings.
    """

    title: ClassVar[str] = "What is OOD and what the model gets wrong"
    question: ClassVar[str] = (
        "Does the ranking of detectors change where the model's own errors are to be rejected too?"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "auroc_out_of_scope"})
    legend: ClassVar[Legend] = "information"

    def of(self, results: Results) -> Result:
        table = _table(results)
        return Result(table, (*_answer(table), _sources(results), _drawn()), _picture(table))


def _means(results: Results, metric: str, kind: str = "ood") -> pl.DataFrame:
    """Mean of a metric by detector: over sets and strategies, seeds averaged."""
    rows = results.metric(metric, kind).drop_nulls("detector")
    each = rows.group_by("detector", "strategy").agg(pl.col("value").mean())
    return each.group_by("detector").agg(pl.col("value").mean())


def _table(results: Results) -> pl.DataFrame:
    found = _means(results, "auroc").rename({"value": "ood"})
    columns = {"scope": (SCOPE, "ood"), "scope full spectrum": (f"{SCOPE}{FULL_SPECTRUM}", "ood")}
    columns |= {"wrong": (SOURCES["wrong"], "id"), "ood against right": (SOURCES["ood alone"], "ood")}
    for name, (metric, kind) in columns.items():
        means = _means(results, metric, kind)
        if not means.is_empty():
            found = found.join(means.rename({"value": name}), on="detector", how="left")
    found = found.drop_nulls("scope")
    if found.is_empty():
        raise UserError(
            "Expected detectors with both measures, but there is none. Run the study with labelled ID data."
        )
    ranks = [pl.col(name).rank(descending=True).alias(f"rank {name}") for name in ("ood", "scope")]
    information = pl.col("detector").replace_strict(results.information, default="other").alias("information")
    return found.with_columns(*ranks, information).sort("ood", "detector", descending=[True, False])


def tau(table: pl.DataFrame, first: str, second: str) -> float:
    """Kendall's tau-b of two columns of detectors."""
    known = table.drop_nulls([first, second])
    return float(stats.kendalltau(known[first], known[second]).statistic)


def _answer(table: pl.DataFrame) -> tuple[str, ...]:
    best_ood, best = (_best(table, name) for name in ("ood", "scope"))
    same = (
        f"Best by both measures: {best}"
        if best == best_ood
        else f"Best at telling OOD from ID inputs: {best_ood}; at rejecting what the model gets wrong: {best}"
    )
    found = tau(table, "ood", "scope") if table.height > 2 else float("nan")
    if isnan(found):
        return (f"{same}.",)
    moved = int(((table["rank ood"] - table["rank scope"]).abs() >= 1).sum())
    return (
        f"{same}; Kendall's tau of both rankings is {found:.2f} over {table.height} detectors (1: the same order), and "
        f"{moved} of them change their rank.",
    )


def _best(table: pl.DataFrame, name: str) -> str:
    """The detectors of the highest value, all that tie exactly."""
    best = table.filter(pl.col(name) >= pl.col(name).max() - TIE)["detector"].sort().to_list()
    return with_and(best, most=MOST_NAMED)


def _sources(results: Results) -> str:
    """How many inputs of each kind there are, as a mean over models."""
    performance = results.metric("accuracy", "id")
    rows = results.metric(SCOPE, "ood").unique(["model", "ood"])
    if performance.is_empty() or rows["n_id"].null_count() or rows["n_ood"].null_count():
        return ""
    n, accuracy = results.n_id, float(performance["value"].to_numpy().mean())
    ood = float(rows.group_by("model").agg(pl.col("n_ood").sum())["n_ood"].to_numpy().mean())
    right = n * accuracy
    return (
        f"Per model, of {n + ood:,.0f} inputs on average {right:,.0f} are ID and right, {n - right:,.0f} ID and wrong, "
        f"and {ood:,.0f} OOD; each OOD set is ranked apart."
    )


def _drawn() -> str:
    return (
        "A dot a detector: its mean AUROC of OOD against ID inputs, and of all that the model gets wrong (OOD or "
        "misclassified) against what it gets right. Above the line the model's own errors are found too."
    )


def _picture(table: pl.DataFrame) -> alt.TopLevelMixin:
    ends = [table["ood"].min(), table["ood"].max(), table["scope"].min(), table["scope"].max()]
    low, high = min(map(float, ends)), max(map(float, ends))  # type: ignore[arg-type]  # numbers
    scale = alt.Scale(domain=[low - 0.02, high + 0.02])
    across = alt.X("ood:Q", title="AUROC: OOD against ID", scale=scale)
    up = alt.Y("scope:Q", title="AUROC: out of the model's scope", scale=scale)
    base = alt.Chart(style.rows(table.select("detector", "ood", "scope", "information")))
    tips = [style.name("detector", "detector"), style.tip("ood", "OOD"), style.tip("scope", "out of scope")]
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=across, y=up, color=style.used(table["information"].to_list()), tooltip=tips
    )
    labels = base.mark_text(align="left", dx=8, dy=-6, fontSize=10).encode(
        x=across, y=up, text="detector:N", color=alt.value(style.INK)
    )
    line = alt.Chart(style.rows(pl.DataFrame({"ood": [low, high], "scope": [low, high]})))
    diagonal = line.mark_line(strokeDash=[3, 3], color=style.INK).encode(x=across, y=up)
    return alt.layer(diagonal, dots, labels).properties(width="container", height=340)
