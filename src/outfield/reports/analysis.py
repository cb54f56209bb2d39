"""All statistics of one table, each computed once and only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.reports.results import Results
from outfield.stats import (
    accuracy_on_the_line,
    anova,
    friedman,
    holm,
    interrupted,
    kendall,
    leave_one_family_out,
    lind_mehlum,
    lowess,
    mean_ranks,
    panel,
    partial_correlation,
    partial_matrix,
    pearson,
    recommend,
    spearman,
    stratum,
    two_lines,
)
from outfield.stats.anova import Anova
from outfield.stats.base import Level
from outfield.stats.components import Stratum
from outfield.stats.partial import PartialCorrelation, PartialMatrix
from outfield.stats.ranks import Friedman, MeanRanks
from outfield.stats.recommend import TIE, Recommendation
from outfield.stats.relate import Correlation, LeftOut, Line
from outfield.stats.shape import Interrupted, LindMehlum, Smooth, TwoLines
from outfield.stats.units import Panel
from outfield.tables.directions import higher_is_better
from outfield.tables.examples import Example, example
from outfield.tables.measures import MEAN, Measures, measures

MOST_PAIRS = 15


@dataclass(frozen=True, eq=False)
class Analysis:
    """The statistics of a table's measures. What the table does not allow raises ``UserError``.

    Examples
    --------
    >>> found = analyse(example="krumpl2026")
    >>> print(found.relations["auroc"].whole.estimate)
    0.012 [-0.252, 0.274] (n = 56)
    """

    measures: Measures
    example: Example | None = None

    @cached_property
    def results(self) -> Results | None:
        """The rows of a study, as analyses read them; None where the table has a row a model."""
        rows = self.measures.rows
        return None if rows is None else Results.of(rows)

    @property
    def main(self) -> str:
        """The OOD measure that stands for all: the mean AUROC, or the first."""
        return self.measures.ood[0]

    @property
    def sets(self) -> tuple[str, ...]:
        """OOD measures that are sets of their own (no means over sets)."""
        return tuple(name for name in self.measures.ood if name != MEAN)

    @cached_property
    def relations(self) -> dict[str, LeftOut]:
        """Spearman of the ID measure with every OOD measure, and without each family."""
        table = self.measures
        x, families = table.column(table.id), table.families
        found = {ood: leave_one_family_out(x, table.column(ood), families, names=table.names) for ood in table.ood}
        level: Level = "strategy" if table.level == "strategy" else "model"
        return {k: replace(v, level=level, whole=replace(v.whole, level=level)) for k, v in found.items()}

    def relation_frame(self) -> pl.DataFrame:
        """Spearman, Kendall and Pearson of the ID measure with every OOD measure; p by Holm over measures."""
        table = self.measures
        rows = []
        for ood, found in self.relations.items():
            x, y, whole = table.column(table.id), table.column(ood), found.whole
            rows.append({
                "measure": ood, "n": whole.n_units, "spearman": whole.estimate.value, "low": whole.estimate.low,
                "high": whole.estimate.high, "p": whole.p, "kendall": kendall(x, y).estimate.value,
                "pearson": pearson(x, y).estimate.value, "carried by": ", ".join(found.carried_by),
            })  # fmt: skip
        return pl.DataFrame(rows).with_columns(pl.Series("p (Holm)", holm([row["p"] for row in rows])))

    @cached_property
    def lines(self) -> dict[str, Line]:
        """Accuracy on the line for every OOD accuracy."""
        table = self.measures
        if table.detection:
            raise UserError("Expected OOD accuracies for accuracy on the line, but the OOD measures are AUROCs.")
        if higher_is_better(table.id) is False:
            raise UserError(f"Expected an ID accuracy for accuracy on the line, but of {table.id} lower is better.")
        if lower := [name for name, higher in table.directions.items() if not higher]:
            raise UserError(f"Expected OOD accuracies for accuracy on the line, but of {lower[0]} lower is better.")
        x = table.column(table.id)
        return {ood: accuracy_on_the_line(x, table.column(ood), names=table.names) for ood in table.ood}

    def line_frame(self) -> pl.DataFrame:
        """Slope and R2 in probit scale, and the models of largest and smallest effective robustness (all that tie)."""
        known = set(self.measures.ood) <= set(self.measures.directions)
        ends = ("most robust", "least robust") if known else ("furthest above", "furthest below")
        rows = []
        for ood, found in self.lines.items():
            rows.append({
                "measure": ood, "slope": found.slope.value, "low": found.slope.low, "high": found.slope.high,
                "R2": found.r2, **dict(zip(ends, _extremes(found), strict=True)),
            })  # fmt: skip
        return pl.DataFrame(rows)

    @cached_property
    def smooth(self) -> Smooth:
        """LOWESS of the main OOD measure on the ID measure, with its band."""
        table = self.measures
        x, y = table.column(table.id), table.column(self.main)
        return lowess(x, y, names=table.names, draws=300)

    @cached_property
    def shapes(self) -> dict[str, LindMehlum | TwoLines | Interrupted]:
        """Tests of monotonicity of the main OOD measure; the break in advance is the baseline's ID measure."""
        table = self.measures
        x, y = table.column(table.id), table.column(self.main)
        families = table.families if table.has_families else None
        found: dict[str, LindMehlum | TwoLines | Interrupted] = {
            "Lind-Mehlum": lind_mehlum(x, y, families=families), "two lines": two_lines(x, y, families=families),
        }  # fmt: skip
        if table.baseline in table.names:
            found["interrupted"] = interrupted(x, y, float(x[table.names.index(table.baseline)]), families=families)
        return found

    def shape_frame(self) -> pl.DataFrame:
        """The tests of shape, whole and without each family."""
        rows = []
        for name, whole in self.shapes.items():
            for left_out, each in {"none": whole, **whole.without}.items():
                rows.append({"test": name, "left out": left_out, **_shape_row(each)})
        return pl.DataFrame(rows)

    @cached_property
    def ece(self) -> Correlation:
        """Spearman of the calibration error with the main OOD measure."""
        table = self.measures
        if not table.ece:
            raise UserError("Expected a calibration error, but the table names none. Pass --ece COLUMN.")
        return spearman(table.column(table.ece), table.column(self.main), names=table.names)

    def sides(self) -> dict[str, Correlation]:
        """Spearman of the ID measure, higher as better, up to the baseline's and above it."""
        table = self.measures
        if table.baseline not in table.names:
            raise UserError("Expected the name of the baseline model, but none is given. Pass --baseline NAME.")
        x, y = table.oriented(table.column(table.id)), table.column(self.main)
        low = x <= x[table.names.index(table.baseline)]
        return {"up to the baseline": spearman(x[low], y[low]), "above it": spearman(x[~low], y[~low])}

    # --- variance ---

    @cached_property
    def variance(self) -> dict[str, Anova]:
        """Factorial ANOVA on the raw and on the logit scale."""
        table, (rows, factors, unit) = self.measures, self._design()
        trials: Any = "trials" if "trials" in rows.columns else None
        scale = "empirical-logit" if table.items and not table.detection else "logit"
        return {
            "raw": anova(rows, factors, unit=unit),
            "logit": anova(rows, factors, unit=unit, response=scale, trials=trials),  # type: ignore[arg-type]  # a literal
        }

    def _design(self) -> tuple[pl.DataFrame, tuple[str, ...], str]:
        table = self.measures
        if table.rows is not None:
            return self._row_design(table.rows)
        if len(self.sets) < 2 or not table.has_families:
            raise UserError("Expected a family column and two OOD measures for an ANOVA. Pass --family and --ood.")
        rows = table.units.unpivot(on=list(self.sets), index=["unit", "family"], variable_name="measure")
        if set(self.sets) <= set(table.items):
            rows = rows.with_columns(trials=pl.col("measure").replace_strict(dict(table.items)))
        return rows, ("family", "measure"), "unit"

    def _row_design(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...], str]:
        aurocs = rows.filter(pl.col("metric") == "auroc", pl.col("set_kind") == "ood")
        category = "ood_category" if aurocs["ood_category"].n_unique() > 1 else "ood"
        if {"n_id", "n_ood"} <= set(aurocs.columns) and aurocs["n_ood"].null_count() == 0 == aurocs[
            "n_id"
        ].null_count():
            aurocs = aurocs.with_columns(trials=pl.col("n_id") * pl.col("n_ood"))
        aurocs = aurocs.with_columns(pl.col("unit").alias(self.measures.level))
        return aurocs, (self.measures.level, "detector", category), self.measures.level

    @cached_property
    def strata(self) -> Stratum:
        """The family of models against models within family."""
        table = self.measures
        if not table.has_families:
            raise UserError("Expected families, but the table names none. Pass --family COLUMN.")
        rows = table.units.unpivot(on=list(self.sets), index=["unit", "family"])
        return stratum(rows, "family", "unit")

    # --- ranks ---

    @cached_property
    def panel(self) -> Panel:
        """AUROC [models, OOD sets, detectors] of long rows."""
        if self.measures.rows is None:
            raise UserError("Expected long rows with detectors, but the table is wide.")
        return panel(self.measures.rows, ("ood", "detector"))

    @property
    def ranking(self) -> tuple[str, ...]:
        """The OOD measures that models are ranked by: those of which it is known whether higher is better."""
        return tuple(name for name in self.sets if name in self.measures.directions)

    @cached_property
    def friedman(self) -> Friedman:
        """Detectors ranked by units; in a wide table models ranked by OOD measures."""
        if self.measures.rows is not None:
            scores = self.panel.sound.means.mean(axis=1)
            return friedman(scores, names=self.panel.axes["detector"], level=self.panel.level)
        if len(self.ranking) < 2:
            raise UserError(
                f"Expected two OOD measures or more to rank by, whose direction is known, but got {len(self.ranking)}. "
                "Pass more with --ood, or say --higher NAME or --lower NAME."
            )
        signs = {ood: 1 if self.measures.directions[ood] else -1 for ood in self.ranking}
        scores = np.stack([sign * self.measures.column(ood) for ood, sign in signs.items()])
        return friedman(scores, names=self.measures.names, level="block")

    @cached_property
    def ranks(self) -> MeanRanks:
        """Mean ranks of detectors over units, with intervals."""
        return mean_ranks(self.panel)

    @cached_property
    def recommendation(self) -> Recommendation:
        """The detector of best worst-case mean rank."""
        return recommend(self.panel)

    @cached_property
    def pooled(self) -> tuple[Correlation, Correlation]:
        """The ID measure with every AUROC: rows pooled, and at the level of the unit."""
        table = self.measures
        if table.rows is None:
            raise UserError("Expected long rows to pool, but the table is wide.")
        aurocs = table.rows.filter(pl.col("metric") == "auroc", pl.col("set_kind") == "ood")
        known = aurocs.join(table.units.select("unit", pl.col(table.id).alias("__id")), on="unit")
        columns = (known["__id"], known["value"])
        return spearman(*columns, groups=known["unit"], pooled=True), self.relations[self.main].whole

    # --- partial ---

    @cached_property
    def partial(self) -> PartialMatrix:
        """Partial correlation of every pair of OOD measures given the ID measure."""
        table = self.measures
        if len(self.sets) < 2:
            raise UserError("Expected two OOD measures or more for partial correlations. Pass more with --ood.")
        columns = np.stack([table.column(ood) for ood in self.sets], axis=1)
        return partial_matrix(columns, table.column(table.id), names=self.sets)

    @cached_property
    def pairs(self) -> dict[tuple[str, str], PartialCorrelation]:
        """Every pair with all smoothers (at most fifteen pairs: the first six measures)."""
        table, given = self.measures, self.measures.column(self.measures.id)
        pairs = list(combinations(self.sets, 2))[:MOST_PAIRS]
        return {(a, b): partial_correlation(table.column(a), table.column(b), given) for a, b in pairs}

    def partial_frame(self) -> pl.DataFrame:
        """Plain correlation and partial ones by every smoother."""
        rows = []
        for (a, b), found in self.pairs.items():
            values = {kind: estimate.value for kind, estimate in found.estimates.items()}
            rows.append({"first": a, "second": b, **values, "sign differs": found.sign_differs})
        return pl.DataFrame(rows)


def _extremes(line: Line) -> tuple[str, str]:
    """The models that lie furthest above and below a line; all of them where several tie."""
    ends = (line.residuals.max(), line.residuals.min())
    tied = [np.flatnonzero(np.isclose(line.residuals, end, rtol=0, atol=TIE)) for end in ends]
    above, below = (", ".join(line.names[i] for i in at[:5]) + (", ..." if len(at) > 5 else "") for at in tied)
    return above, below


def _shape_row(found: Any) -> dict[str, Any]:
    if isinstance(found, LindMehlum):
        ends = (found.slope_low.value, found.slope_high.value, found.turn.value)
    else:
        ends = (found.below.value, found.above.value, found.at)
    p = max(found.p_below, found.p_above) if isinstance(found, Interrupted) else found.p
    names = ("slope below", "slope above", "turn")
    shape = getattr(found, "shape", "") or ("break given" if isinstance(found, Interrupted) else "")
    return {"shape": shape, **dict(zip(names, map(float, ends), strict=True)), "p": p, "n": found.n_units}


def analyse(data: Any = None, *, example: str | None = None, **options: Any) -> Analysis:
    """The analysis of a table, or of a shipped example.

    Parameters
    ----------
    data : path or frame
        See :func:`outfield.tables.measures.measures`, which takes ``options`` too.
    example : name of a shipped example, instead of data

    Raises
    ------
    UserError
        Neither or both are given; the table is not understood.

    Examples
    --------
    >>> analyse(example="resnet50-48").measures.units.height
    48
    """
    if (data is None) == (example is None):
        raise UserError("Expected a table or the name of an example, one of them. `outfield analyse --help` shows how.")
    if example is None:
        return Analysis(measures(data, **options))
    shipped = _example(example)
    return Analysis(measures(shipped.frame(), **{**shipped.options, **_given(options)}), shipped)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, [], (), "model")}


_example = example
