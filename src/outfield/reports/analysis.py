"""All statistics of one table, each computed once and only when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.cell_noise import less_noise
from outfield.reports.results import Results
from outfield.stats import (
    accuracy_on_the_line,
    anova,
    benjamini_hochberg,
    between_within,
    correlation_by_cluster,
    correlations_by_cluster,
    difference_of_correlations,
    friedman,
    holm,
    independent_units,
    interrupted,
    kendall,
    leave_one_family_out,
    lind_mehlum,
    line_by_cluster,
    lowess,
    mean_ranks,
    panel,
    partial_correlation,
    partial_matrix,
    pearson,
    recommend,
    repeated_measures,
    spearman,
    stratum,
    two_lines,
)
from outfield.stats.anova import Anova, Response
from outfield.stats.attenuation import Disattenuated
from outfield.stats.base import Level
from outfield.stats.clusters import BetweenWithin, ClusterCorrelations, Kind
from outfield.stats.components import Stratum
from outfield.stats.difference_of_correlations import CorrelationDifference
from outfield.stats.partial import PartialCorrelation, PartialMatrix
from outfield.stats.patterns import curvature, pattern, regret
from outfield.stats.ranks import Friedman, MeanRanks
from outfield.stats.recommend import TIE, Recommendation
from outfield.stats.relate import Correlation, LeftOut, Line
from outfield.stats.repeated_measures import RepeatedMeasures
from outfield.stats.shape import Interrupted, LindMehlum, Smooth, TwoLines
from outfield.stats.units import Panel
from outfield.tables import published
from outfield.tables.directions import higher_is_better
from outfield.tables.kin import ROW, families
from outfield.tables.measures import MEAN, Measures, measures, table
from outfield.tables.profile import Profile
from outfield.tables.runs import of_options
from outfield.trajectory.analysis import Trajectories
from outfield.types import Array

MOST_PAIRS = 15
LEAST_ROWS = 4
"""Rows below which there is no correlation."""
MOST_LEFT_OUT = 8
"""Families found from names that are left out in turn, the largest."""
GIVEN = "__given"
LEAST_RUNS = 4
OF_ROWS = ("strategy", "configuration", "run")
"""Levels of rows that are no models."""
NAIVE = {"spearman": spearman, "pearson": pearson, "kendall": kendall}


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
    profile: Profile | None = None
    along: Trajectories | None = None
    constant: Mapping[str, float] = field(default_factory=dict)
    """Measures with one value for all units, and that value."""

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

    # --- what rows are kin to ---

    @property
    def level(self) -> Level:
        """What the independent units are: what rows are kin to, where they are."""
        table = self.measures
        own: Level = table.level if table.level in OF_ROWS else "model"  # type: ignore[assignment]  # one of them
        return table.kinship if table.clusters else own

    @property
    def n_units(self) -> int:
        """How many independent units there are."""
        return len(set(self.measures.clusters)) or self.measures.units.height

    def _of_independent_rows(self, what: str) -> None:
        """``UserError`` where rows are kin: ``what`` has no interval by cluster."""
        if self.measures.clusters:
            raise UserError(
                f"Expected independent rows for {what}, but rows are kin. Average them by --strategy first."
            )

    @cached_property
    def independent(self) -> float:
        """How many independent rows would tell as much as these do, from the intraclass correlation of measures."""
        table = self.measures
        if not table.clusters:
            return float(table.units.height)
        return independent_units([table.column(name) for name in (table.id, *table.ood)], table.clusters)

    def correlate(self, x: Array, y: Array, rows: Array | None = None, *, kind: Kind = "spearman") -> Correlation:
        """A correlation of two measures, over all rows or some, with its interval by cluster where rows are kin."""
        table = self.measures
        chosen = np.arange(len(x)) if rows is None else np.flatnonzero(rows)
        names = np.array(table.names)[chosen].tolist()
        if table.clusters:
            kin = np.asarray(table.clusters)[chosen]
            return correlation_by_cluster(x[chosen], y[chosen], kin, kind=kind, names=names, level=self.level)
        return replace(NAIVE[kind](x[chosen], y[chosen], names=names), level=self.level)

    @cached_property
    def relations(self) -> dict[str, LeftOut]:
        """Spearman of the ID measure with every OOD measure, and without each family."""
        table, level = self.measures, self.level
        if table.clusters:
            return {ood: self._relation_by_cluster(ood) for ood in table.ood}
        x, families = table.column(table.id), table.families
        found = {ood: leave_one_family_out(x, table.column(ood), families, names=table.names) for ood in table.ood}
        return {k: replace(v, level=level, whole=replace(v.whole, level=level)) for k, v in found.items()}

    def _relation_by_cluster(self, ood: str) -> LeftOut:
        place, columns, called = 1 + self.measures.ood.index(ood), self._columns, np.array(self.measures.names)
        whole, *without = (
            found.pair(GIVEN, ood, columns[rows, 0], columns[rows, place], called[rows].tolist())
            for rows, found in self._without_families.values()
        )
        names = list(self._without_families)[1:]
        return LeftOut(
            whole, dict(zip(names, without, strict=True)), level=self.level, n_units=self.n_units, notes=whole.notes,
            correction="none (a sensitivity analysis, not a test)",
        )  # fmt: skip

    @property
    def _columns(self) -> Array:
        table = self.measures
        return np.stack([table.column(name) for name in (table.id, *table.ood)], axis=1)

    @cached_property
    def _without_families(self) -> dict[str, tuple[Array, ClusterCorrelations]]:
        """Rows, and Spearman of every pair of measures by cluster: of all rows, and without each large family."""
        table = self.measures
        marks = np.asarray(table.families if table.has_families else table.clusters)
        large = [name for name, n in Counter(marks.tolist()).most_common(MOST_LEFT_OUT) if n > 1]
        kept = {"": np.ones(len(marks), bool)} | {name: marks != name for name in large}
        kin, names = np.asarray(table.clusters), (GIVEN, *table.ood)
        found = {}
        for name, rows in kept.items():
            if len(set(kin[rows])) > 1 and rows.sum() >= LEAST_ROWS:
                every = correlations_by_cluster(self._columns[rows], kin[rows], names=names, level=self.level)
                found[name] = (np.flatnonzero(rows), every)
        return found

    @cached_property
    def naive(self) -> dict[str, Correlation]:
        """Spearman as if each row were independent: the usual way, for comparison."""
        table = self.measures
        x = table.column(table.id)
        return {ood: replace(spearman(x, table.column(ood)), level="pooled") for ood in table.ood}

    @cached_property
    def levels(self) -> dict[str, BetweenWithin]:
        """The ID with every OOD measure between families and within them, of ranks."""
        table = self.measures
        marks = table.clusters or (table.families if table.has_families else families(table.names))
        x = table.column(table.id)
        return {
            ood: between_within(x, table.column(ood), marks, kind="spearman", level=self.level) for ood in table.ood
        }

    def kin_frame(self) -> pl.DataFrame:
        """The usual way beside ours: each relation as if rows were independent, by cluster, between and within them."""
        rows: list[dict[str, Any]] = []
        for ood, found in self.relations.items():
            ours, usual, split = found.whole.estimate, self.naive[ood].estimate, self.levels[ood]
            rows.append({
                "measure": ood, "spearman": ours.value, "rows": usual.n, "low (rows)": usual.low,
                "high (rows)": usual.high, "units": ours.n, "low": ours.low, "high": ours.high,
                "between": split.between.value, "between low": split.between.low, "between high": split.between.high,
                "within": split.within.value, "within low": split.within.low, "within high": split.within.high,
            })  # fmt: skip
        return pl.DataFrame(rows)

    def relation_frame(self) -> pl.DataFrame:
        """Spearman, Kendall and Pearson of the ID measure with every OOD measure; p by Holm over measures."""
        table = self.measures
        rows = []
        for ood, found in self.relations.items():
            x, y, whole = table.column(table.id), table.column(ood), found.whole
            rows.append({
                "measure": ood, "n": whole.n_units, "level": whole.level, "spearman": whole.estimate.value,
                "low": whole.estimate.low, "high": whole.estimate.high, "p": whole.p,
                "kendall": kendall(x, y).estimate.value, "pearson": pearson(x, y).estimate.value,
                "carried by": ", ".join(found.carried_by),
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
        found = {ood: accuracy_on_the_line(x, table.column(ood), names=table.names) for ood in table.ood}
        if not table.clusters:
            return found
        return {ood: line_by_cluster(line, table.clusters, level=self.level) for ood, line in found.items()}

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

    def pattern_frame(self) -> pl.DataFrame:
        """A row an OOD measure: its pattern against the ID measure, a line or a curve, and what choosing by ID costs.

        Higher is better in both; the regret is known where it is known which end of the OOD measure is better.
        """
        self._of_independent_rows("a pattern or a curve")
        table, rows = self.measures, []
        for ood in table.ood:
            better = table.directions.get(ood)
            x, y = table.oriented(table.column(table.id)), table.column(ood) * (-1 if better is False else 1)
            along, bent = pattern(x, y), curvature(x, y)
            rows.append({
                "measure": ood, "pattern": along.shape, "r": along.r.value, "low": along.r.low, "high": along.r.high,
                "slope": along.slope, "p": along.p, "r2_line": bent.r2_line, "r2_curve": bent.r2_curve,
                "p_curve": bent.p, "regret": None if better is None else regret(x, y), "n": along.n_units,
            })  # fmt: skip
        corrected = {name: holm([row[name] for row in rows]) for name in ("p", "p_curve")}
        return pl.DataFrame(rows, infer_schema_length=None).with_columns(
            **{k: pl.Series(v) for k, v in corrected.items()}
        )

    @cached_property
    def ece(self) -> Correlation:
        """Spearman of the calibration error with the main OOD measure."""
        table = self.measures
        if not table.ece:
            raise UserError("Expected a calibration error, but the table names none. Pass --ece COLUMN.")
        return self.correlate(table.column(table.ece), table.column(self.main))

    def sides(self) -> dict[str, Correlation]:
        """Spearman of the ID measure, higher as better, up to the baseline's and above it."""
        table = self.measures
        if table.baseline not in table.names:
            raise UserError("Expected the name of the baseline model, but none is given. Pass --baseline NAME.")
        x, y = table.oriented(table.column(table.id)), table.column(self.main)
        low = x <= x[table.names.index(table.baseline)]
        return {"up to the baseline": self.correlate(x, y, low), "above it": self.correlate(x, y, ~low)}

    def sides_apart(self) -> CorrelationDifference:
        """How much the correlation above the baseline's ID measure exceeds that up to it."""
        self._of_independent_rows("the difference of two correlations")
        below, above = self.sides().values()
        return difference_of_correlations((above.x, above.y), (below.x, below.y), level=self.level)

    def side_frame(self) -> pl.DataFrame:
        """The correlation on either side of the baseline, and the difference."""
        apart = self.sides_apart()
        rows = [(side, found.estimate, found.p) for side, found in self.sides().items()]
        rows.append(("difference (above - up to)", apart.difference, apart.p))
        return pl.DataFrame(
            [(side, each.n, each.value, each.low, each.high, p) for side, each, p in rows],
            schema=["side", "n", "spearman", "low", "high", "p"], orient="row",
        )  # fmt: skip

    @cached_property
    def ece_apart(self) -> CorrelationDifference:
        """How much more strongly the calibration error goes with the main OOD measure than the ID measure does."""
        self._of_independent_rows("the difference of two correlations")
        table, whole = self.measures, self.relations[self.main].whole.estimate
        y, ece, id = table.column(self.main), table.column(str(table.ece)), table.column(table.id)
        signs = np.where(np.sign([self.ece.estimate.value, whole.value]) < 0, -1.0, 1.0)
        return difference_of_correlations((signs[0] * ece, y), (signs[1] * id, y), same_units=True, level=self.level)

    @cached_property
    def less_noise(self) -> dict[tuple[str, ...], Disattenuated]:
        """Correlations less the noise of the cells; see :func:`outfield.reports.cell_noise.less_noise`."""
        self._of_independent_rows("correlations less the noise of the cells")
        return less_noise(self.measures, MOST_PAIRS)

    # --- variance ---

    @cached_property
    def variance(self) -> dict[str, Anova]:
        """Factorial ANOVA on the raw, logit, probit and arcsine scale."""
        table, (rows, factors, unit) = self.measures, self._design()
        trials: Any = "trials" if "trials" in rows.columns else None
        logit: Response = "empirical-logit" if table.items and not table.detection else "logit"
        scales: dict[str, Response] = {"raw": "raw", "logit": logit, "probit": "probit", "arcsine": "arcsine"}
        return {
            name: anova(rows, factors, unit=unit, response=response, trials=trials) for name, response in scales.items()
        }

    @cached_property
    def within_models(self) -> RepeatedMeasures:
        """The family of models against models within family; sets, and families x sets, against sets x models."""
        table = self.measures
        if table.rows is not None or not table.has_families or len(self.sets) < 2:
            raise UserError("Expected families and two OOD measures of each model. Pass --family and --ood.")
        rows = table.units.unpivot(on=list(self.sets), index=["unit", "family"], variable_name="measure")
        return repeated_measures(rows, "family", "measure", "unit")

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
        found = partial_matrix(columns, table.column(table.id), names=self.sets)
        return self._partial_by_cluster(found) if table.clusters else replace(found, level=self.level)

    def _partial_by_cluster(self, found: PartialMatrix) -> PartialMatrix:
        """The matrix with p by cluster."""
        i, j = np.triu_indices(len(self.sets), 1)
        p = np.ones_like(found.p)
        p[i, j] = p[j, i] = benjamini_hochberg(self._by_kind["linear"].p[i, j])
        return replace(found, p=p, level=self.level, n_units=self.n_units)

    @cached_property
    def _by_kind(self) -> dict[str, ClusterCorrelations]:
        """Correlations of every pair of OOD measures by cluster: plain, and given the ID measure (the last)."""
        table, names = self.measures, (*self.sets, GIVEN)
        columns = np.stack([table.column(name) for name in (*self.sets, table.id)], axis=1)
        given, level, kin = len(self.sets), self.level, table.clusters
        return {
            "plain": correlations_by_cluster(columns, kin, kind="pearson", names=names, level=level),
            "linear": correlations_by_cluster(columns, kin, kind="pearson", given=given, names=names, level=level),
            "rank": correlations_by_cluster(columns, kin, given=given, names=names, level=level),
        }

    @cached_property
    def pairs(self) -> dict[tuple[str, str], PartialCorrelation]:
        """Every pair with all smoothers (at most fifteen pairs: the first six measures)."""
        table, given = self.measures, self.measures.column(self.measures.id)
        pairs = list(combinations(self.sets, 2))[:MOST_PAIRS]
        found = {(a, b): partial_correlation(table.column(a), table.column(b), given) for a, b in pairs}
        return {pair: self._pair_by_cluster(pair, each) for pair, each in found.items()} if table.clusters else found

    def _pair_by_cluster(self, pair: tuple[str, str], found: PartialCorrelation) -> PartialCorrelation:
        """A pair with its intervals by cluster; those of curves are of their residuals, the curve held fast."""
        estimates = {kind: every.of(*pair) for kind, every in self._by_kind.items()}
        p = {kind: every.p_of(*pair) for kind, every in self._by_kind.items()}
        for kind in found.estimates:
            if kind not in estimates and np.isfinite(found.estimates[kind].value):
                curved = self.correlate(*found.residuals[kind], kind="pearson")
                estimates[kind], p[kind] = curved.estimate, curved.p
        return replace(
            found, estimates=dict(found.estimates) | estimates, p=dict(found.p) | p, level=self.level,
            n_units=self.n_units,
        )  # fmt: skip

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


def analyse(
    data: Any = None, *, example: str | None = None, profile: str | Path | None = None, **options: Any
) -> Analysis:
    """The analysis of a table, or of a shipped example.

    A published table that a profile of ours knows is read by it, unless ``id`` or ``ood`` say what to read.

    Parameters
    ----------
    data : path or frame
        See :func:`outfield.tables.measures.measures`, which takes ``options`` too.
    example : name of a shipped example, instead of data
    profile : name of a profile, or the path of one's own

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
    found = published.known(data, example, profile, options.get("study"), chosen=bool(_given(options) & {"id", "ood"}))
    if found is None:
        _only_along_runs(options)
        if options.get("step"):
            return _along_runs(table(data).frame, options, Path(data).name if isinstance(data, str | Path) else "table")
        return _analysis(measures(data, **options))
    chosen = {name: value for name, value in options.items() if name != "study" and name in _given(options)}
    settings = {**found.options, **chosen}
    _only_along_runs(settings)
    if settings["step"]:
        repeats = {"rerun": found.reading.rerun} if found.reading.rerun else {}
        made = _along_runs(found.frame, {**repeats, **settings}, found.profile.name)
    else:
        made = _analysis(measures(found.frame, **settings))
    return replace(made, measures=found.told(made.measures), profile=found.profile)


def _analysis(table: Measures) -> Analysis:
    """The analysis of a table's measures that vary.

    Rows of a study keep theirs: detectors may differ where their mean does not.
    """
    named = dict.fromkeys((table.id, *table.ood, *([table.ece] if table.ece else [])))
    same = {name: float(table.column(name)[0]) for name in named if np.ptp(table.column(name)) <= TIE}
    ood = tuple(name for name in table.ood if name not in same)
    if not ood and table.rows is None:
        each = with_and([f"{name} {same[name]:.4g}" for name in table.ood])
        raise UserError(
            f"Expected an OOD measure that varies, but all {table.units.height} units have the same value: {each}. "
            "Name other columns with --ood."
        )
    ece = None if table.ece in same else table.ece
    return Analysis(replace(table, ood=ood or table.ood, ece=ece), constant=same)


def _only_along_runs(options: Mapping[str, Any]) -> None:
    if options.get("rerun") and not options.get("step"):
        raise UserError("Expected --rerun with --step, for it tells runs of checkpoints apart. Name the step's column.")


def _along_runs(frame: pl.DataFrame, options: Mapping[str, Any], name: str) -> Analysis:
    """The last checkpoints of runs as models, and the runs along training."""
    found = of_options(frame, **options)
    if len(found.runs) < LEAST_RUNS:
        raise UserError(
            f"Expected at least {LEAST_RUNS} runs along {options['step']}, for models are compared at the last "
            f"checkpoint of each, but got {len(found.runs)}. Name the column of runs with --model, or add runs."
        )
    chosen = {name: options[name] for name in ("higher", "lower", "kind", "baseline") if name in options}
    unit = "kin" if 1 < len(set(found.kin)) < len(found.runs) else ROW
    last = measures(found.last, model="run", unit=unit, id=found.id, ood=found.ood, **chosen)
    said = f"Rows are checkpoints: models are compared at the last of each of {len(found.runs)} runs."
    last = replace(last, notes=(said, *found.notes, *last.notes))
    return Analysis(last, along=Trajectories.of_table(found, name=name))


def _given(options: Mapping[str, Any]) -> set[str]:
    return {name for name, value in options.items() if value not in (None, [], (), "model")}
