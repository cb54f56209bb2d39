from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import cells
from outfield.reports.results import Results
from outfield.stats import paired_difference
from outfield.types import Array, Estimate

BASELINE = "msp"
CELLS = ("known, plain", "known, shifted", "new, plain", "new, shifted")
QUESTIONS = ("told from known, plain", "failures told")
"""The AUROC of a cell against the ID test set; the AUROC of what the model must not be trusted on."""
SEMANTIC, COVARIATE = CELLS[2], CELLS[1]


@dataclass(frozen=True)
class GainOverMsp(Analysis):
    """What each detector gains over MSP in each cell of semantic and covariate shift, as AUROC [1].

    Two questions: is the cell told from known, plain inputs; and are failures told. A failure is a wrong answer to a
    known class, plain or shifted; of new classes every input is one, beside the wrong answers to known, plain inputs.
    The unit is the strategy, seeds and sets averaged; of one strategy the seed. Student's interval over units.

    References
    ----------
    [1] Yang, Zhang, Russakovsky. ImageNet-OOD: Deciphering Modern Out-of-Distribution Detection Algorithms. ICLR 2024.
    """

    title: ClassVar[str] = "What detectors gain over MSP, by semantic and covariate shift"
    question: ClassVar[str] = "Does a detector beat MSP on new classes, or on another look of known ones?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "detector"})
    legend: ClassVar[Legend] = "information"

    def of(self, results: Results) -> Result:
        values = _values(results)
        gains = _gains(values)
        if gains.is_empty():
            raise UserError(
                f"Expected AUROCs of {BASELINE} and of another detector on the same sets, but got "
                f"{with_and(sorted(values['detector'].unique())) or 'none'}. Add detectors to the study."
            )
        table = pl.DataFrame(list(_rows(gains, results)))
        said = (_answer(table), _by_information(gains, results), _drawn(gains))
        return Result(table, said, _chart(table))


def _values(results: Results) -> pl.DataFrame:
    """AUROC of every unit, detector, cell and question, sets averaged."""
    rows = results.test.drop_nulls("detector").with_columns(
        unit=pl.col("strategy" if results.test["strategy"].n_unique() > 1 else "model")
    )
    known = results.test.filter(pl.col("set_kind") == "shift")["ood"].drop_nulls().unique().to_list()
    told = rows.filter(pl.col("metric") == "auroc", pl.col("set_kind") == "ood").with_columns(
        cell=_cell(pl.col("ood").is_in(known) & pl.col("shift").is_not_null()), question=pl.lit(QUESTIONS[0])
    )
    errors = rows.filter(pl.col("metric") == "auroc_correct_vs_incorrect").with_columns(
        cell=pl.when(pl.col("set_kind") == "shift").then(pl.lit(COVARIATE)).otherwise(pl.lit(CELLS[0])),
        question=pl.lit(QUESTIONS[1]),
    )
    columns = ("unit", "model", "detector", "cell", "question", "ood", "value")
    every = pl.concat([one.select(columns) for one in (told, errors, _failures_beside_new(rows, results, known))])
    of_model = every.group_by("unit", "model", "detector", "cell", "question").agg(pl.col("value").mean())
    return of_model.group_by("unit", "detector", "cell", "question").agg(pl.col("value").mean())


def _cell(known: pl.Expr) -> pl.Expr:
    """The cell of a set that detectors score."""
    new = pl.when(pl.col("shift").is_null()).then(pl.lit(SEMANTIC)).otherwise(pl.lit(CELLS[3]))
    return pl.when(known).then(pl.lit(COVARIATE)).otherwise(new)


def _failures_beside_new(rows: pl.DataFrame, results: Results, known: list[str]) -> pl.DataFrame:
    """Right answers against wrong ones and a new class: the mean of both AUROCs, each with its number of inputs."""
    of = ("model", "detector")
    accuracy = results.metric("accuracy", "id").select("model", accuracy="value")
    wrong = rows.filter(pl.col("metric") == "auroc_correct_vs_incorrect", pl.col("set_kind") == "id")
    beside = rows.filter(
        pl.col("metric") == "auroc_correct_vs_ood", pl.col("set_kind") == "ood", ~pl.col("ood").is_in(known)
    )
    joined = beside.join(wrong.select(*of, errors="value"), on=of).join(accuracy, on="model")
    n_wrong = (1 - pl.col("accuracy")) * pl.col("n_id")
    mixed = (pl.col("value") * pl.col("n_ood") + pl.col("errors") * n_wrong) / (pl.col("n_ood") + n_wrong)
    return joined.with_columns(cell=_cell(pl.lit(False)), question=pl.lit(QUESTIONS[1]), value=mixed).drop_nulls(
        "value"
    )


def _gains(values: pl.DataFrame) -> pl.DataFrame:
    """Each detector's AUROC beside that of MSP, by unit, cell and question."""
    by = ["unit", "cell", "question"]
    base = values.filter(pl.col("detector") == BASELINE).select(*by, base="value")
    return (
        values.filter(pl.col("detector") != BASELINE)
        .join(base, on=by)
        .with_columns(gain=pl.col("value") - pl.col("base"))
    )


def _rows(gains: pl.DataFrame, results: Results) -> Iterator[dict[str, object]]:
    order = gains.with_columns(
        place=pl.col("cell").replace_strict({name: at for at, name in enumerate(CELLS)}, return_dtype=pl.Int64)
    ).sort("question", "place", "detector", "unit", descending=[True, False, False, False])
    for (question, cell, detector), some in order.group_by("question", "cell", "detector", maintain_order=True):
        yield {
            "question": question,
            "cell": cell,
            **cells(str(detector), _mean(some["base"].to_numpy(), some["value"].to_numpy())),
            "auroc": some["value"].mean(),
            "auroc of msp": some["base"].mean(),
            "information": results.information.get(str(detector), "other"),
        }


def _mean(first: Array, second: Array) -> Estimate:
    """The mean difference over units, with Student's interval from two of them on."""
    if len(first) < 2:
        return Estimate(float((second - first).mean()), n=len(first))
    return paired_difference(first, second, measures=True).estimate


def _answer(table: pl.DataFrame) -> str:
    told = table.filter(pl.col("question") == QUESTIONS[0])
    parts = []
    for cell in CELLS[1:]:
        some = told.filter(pl.col("cell") == cell)
        if some.height:
            best = some.filter(pl.col("value") >= pl.col("value").max() - 1e-12)
            names, gain = with_and(best["name"].to_list()), best["value"][0]
            parts.append(f"{cell.replace(',', ' and')}: {names} ({gain:+.3f})")
    return f"Most over MSP on inputs that are {'; '.join(parts)}."


def _by_information(gains: pl.DataFrame, results: Results) -> str:
    """Whether detectors that rest on features gain more on another look than on new classes."""
    kinds = pl.col("detector").replace_strict(results.information, default="other") == "features"
    told = gains.filter(kinds, pl.col("question") == QUESTIONS[0])
    per_unit = told.group_by("unit", "cell").agg(pl.col("gain").mean()).pivot("cell", index="unit", values="gain")
    if not {SEMANTIC, COVARIATE} <= set(per_unit.columns):
        return ""
    per_unit = per_unit.drop_nulls([SEMANTIC, COVARIATE]).sort("unit")
    means = [float(per_unit[cell].to_numpy().mean()) for cell in (COVARIATE, SEMANTIC)]
    found = _mean(per_unit[SEMANTIC].to_numpy(), per_unit[COVARIATE].to_numpy())
    ends = f" [{found.low:+.3f}, {found.high:+.3f}]" if found.low == found.low else ""
    return (
        f"Detectors that rest on features gain {means[0]:+.3f} where known classes look otherwise and {means[1]:+.3f} "
        f"on new classes, a difference of {found.value:+.3f}{ends}."
    )


def _drawn(gains: pl.DataFrame) -> str:
    units = gains["unit"].n_unique()
    over = f"mean over {units} strategies, or seeds of one, with Student's 95% intervals" if units > 1 else "one model"
    return f"AUROC minus that of MSP; {over}."


def _chart(table: pl.DataFrame) -> alt.TopLevelMixin:
    base = alt.Chart(style.rows(table.fill_nan(None)))
    order = alt.Y("name:N", title=None, sort=table["name"].unique(maintain_order=True).to_list())
    axis = alt.Axis(title="gain over MSP (AUROC)", tickCount=5)
    colour = style.used(table["information"].to_list())
    tips = [style.name("name", "detector"), style.name("cell", "cell"), style.tip("value", "gain")]
    line = base.mark_rule().encode(y=order, x=alt.X("low:Q", axis=axis), x2="high:Q", color=colour)
    dot = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=order, x=alt.X("value:Q", axis=axis), color=colour, tooltip=tips
    )
    drawn = alt.layer(line, dot).properties(width=150, height=18 * table["name"].n_unique())
    return drawn.facet(column=alt.Column("cell:N", title=None, sort=list(CELLS)), row=alt.Row("question:N", title=None))
