"""Displays of a table's statistics: each takes an ``Analysis`` and returns a ``Display``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial as partial_of

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError, plural
from outfield.reports.analysis import Analysis
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.noise import reliability, without_noise
from outfield.reports.headline import undecided
from outfield.stats import _plots, lowess
from outfield.stats.base import paired
from outfield.stats.shape import LEAST_SMOOTHED
from outfield.tables.base import Measures

MOST_FIGURES = 6
UNITS = {
    "strategy": "strategies (means over seeds)", "configuration": "configurations (means over seeds)",
    "run": "reruns of one configuration",
}  # fmt: skip
"""What the rows of a table are called that are no models."""
VARIANCE_COLUMNS = ("scale", "term", "df", "f", "eta2", "eta2_low", "eta2_high", "partial_eta2", "omega2")


def _figure(draw: Callable[[], alt.TopLevelMixin], title: str = "", min_width: int = 320) -> Figure:
    """A chart as wide as its place on the page, its title beside it."""
    return Figure(lambda: style.contained(draw()), title, min_width)


def relation(analysis: Analysis) -> Display:
    """ID against OOD: each unit a point, a LOWESS curve with its bootstrap band."""
    table = analysis.measures
    figures = []
    for ood in table.ood[:MOST_FIGURES]:
        paired(table.column(table.id), table.column(ood), least=LEAST_SMOOTHED)
        rho = analysis.relations[ood].whole.estimate
        figures.append(_figure(partial_of(_scatter, table, ood), f"{ood}: Spearman {rho}"))
    caption = (
        f"{table.units.height} {_units(analysis)}{_in_clusters(analysis)}; curve: LOWESS with a pointwise 95% band "
        f"from resampled units (a picture, not a test). Spearman with {_interval(analysis)}; p by Holm over the OOD "
        "measures."
    )
    return Display("relation", "ID against OOD", caption, analysis.relation_frame(), tuple(figures), open=True)


def _scatter(table: Measures, ood: str) -> alt.TopLevelMixin:
    found = lowess(table.column(table.id), table.column(ood), names=table.names, draws=200)
    curve = np.stack([found.grid, found.value], axis=1)
    band = np.stack([found.grid, found.low, found.high], axis=1)
    families = table.families if table.has_families else ()
    return _plots.scatter(
        found.x, found.y, table.names, x_title=table.id_word, y_title=ood, colour=families, curve=curve, band=band
    )


def _units(analysis: Analysis) -> str:
    return UNITS.get(analysis.measures.level, "models")


def patterns(analysis: Analysis) -> Display:
    """Whether each OOD measure rises, falls or stays with the ID measure, on a line or a curve."""
    caption = (
        "positive or inverse: the slope of the line differs from 0; flat: it is shown to be below 0.1; none: these "
        "rows do not tell (each at p < 0.01). r: Pearson's with Fisher's 95% interval. p_curve: F-test of a parabola "
        "against the line. Both p by Holm over the OOD measures. regret: what choosing the best by ID gives up."
    )
    return Display("patterns", "Positive, inverse or flat; straight or curved", caption, analysis.pattern_frame(), ())


def _in_clusters(analysis: Analysis) -> str:
    """Of how many families the rows are; empty where each stands alone."""
    if not analysis.measures.clusters:
        return ""
    word = plural("unit" if analysis.level == "cluster" else analysis.level)
    return (
        f" of {analysis.n_units:,} {word}, which tell as much as about {analysis.independent:,.0f} independent models"
    )


def _interval(analysis: Analysis) -> str:
    if not analysis.measures.clusters:
        return "Bonett and Wright's 95% interval"
    return "a 95% interval by cluster (leaving one out at a time)"


def rows_and_kin(analysis: Analysis) -> Display:
    """The usual way beside ours: each row as a unit, and intervals by what rows are kin to."""
    if not analysis.measures.clusters:
        raise UserError("Expected rows that are kin, but each stands alone. Say what they are kin to: --unit COLUMN.")
    word = plural("unit" if analysis.level == "cluster" else analysis.level)
    caption = (
        f"Left: Spearman's rho and its interval as if {analysis.measures.units.height:,} rows were independent, which "
        f"they are not. Then by {word}: the same rho, and an interval that holds for new {word}. Between: of the means "
        f"of {word}; within: of rows about the mean of theirs. {analysis.measures.clustering}"
    )
    return Display("kin", "Rows taken as independent, and by family", caption, analysis.kin_frame())


def families_left_out(analysis: Analysis) -> Display:
    """The correlation, leaving one family out at a time."""
    if not analysis.measures.has_families and not analysis.measures.clusters:
        raise UserError("Expected families, but the table names none. Pass --family COLUMN.")
    chosen = list(analysis.relations.items())[:MOST_FIGURES]
    figures = tuple(_figure(found.plot, ood) for ood, found in chosen)
    table = pl.concat([found.frame().select(pl.lit(ood).alias("measure"), pl.all()) for ood, found in chosen])
    left_out = "each family" if analysis.measures.has_families else "each of the largest families"
    caption = f"Spearman's rho of the ID with the OOD measure: all units, then without {left_out}; 95% intervals."
    return Display("families", "Does one family carry it?", caption, table, figures)


def on_the_line(analysis: Analysis) -> Display:
    """Accuracy on the line, both axes in probit scale."""
    figures = [_figure(line.plot, f"{ood}: slope {line.slope}, R2 {line.r2:.3f}")
               for ood, line in list(analysis.lines.items())[:MOST_FIGURES]]  # fmt: skip
    caption = "Least-squares line in probit scale with its 95% band; the distance from it is effective robustness."
    return Display("line", "Accuracy on the line", caption, analysis.line_frame(), tuple(figures))


def by_rows(analysis: Analysis) -> str:
    """What to know of a test that takes rows as independent, where they are kin."""
    return " Rows that are kin count as independent here: p is too small." if analysis.measures.clusters else ""


def shapes(analysis: Analysis) -> Display:
    """Is it monotonic? Quadratic with end slopes, two lines, a break given in advance."""
    caption = (
        "Lind-Mehlum: slopes of a quadratic at both ends (HC3), p the larger one-sided one. Two lines: slopes on both "
        "sides of a break set by the data. Interrupted: the break is the baseline. Each repeated without every family."
        f"{by_rows(analysis)}"
    )
    return Display("shape", "Is the relation monotonic?", caption, analysis.shape_frame(), open=True)


def sides(analysis: Analysis) -> Display:
    """The correlation up to the baseline and above it, and whether the two differ."""
    caption = (
        f"Spearman of {analysis.measures.id_word} with {analysis.main} on either side of the baseline. Whether they "
        "differ is in the last row (Zou's 95% interval; p by Fisher z): that one side alone is significant would not "
        "tell."
    )
    return Display("sides", "Does the relation change at the baseline?", caption, analysis.side_frame())


def calibration(analysis: Analysis) -> Display:
    """Calibration error against the OOD measure."""
    table, found = analysis.measures, analysis.ece
    families = table.families if table.has_families else ()
    draw = partial_of(
        _plots.scatter, found.x, found.y, table.names, x_title="ECE", y_title=analysis.main, colour=families
    )
    apart = analysis.ece_apart
    caption = (
        f"Expected calibration error against {analysis.main}: Spearman {found.estimate}. In strength this exceeds "
        f"{table.id_word}'s by {apart.difference} (p = {apart.p:.2g}; same models, Zou's interval)."
    )
    columns = ["unit", "family", str(table.ece), analysis.main]
    return Display("ece", "Calibration against OOD", caption, table.units.select(columns), (_figure(draw),))


def variance(analysis: Analysis) -> Display:
    """Shares of variance with intervals, on several scales."""
    parts = analysis.variance
    figures = tuple(_figure(found.plot, f"{name} scale") for name, found in parts.items())
    table = pl.concat(
        [each.frame().select(pl.lit(name).alias("scale"), pl.all()) for name, each in parts.items()], how="diagonal"
    )
    found = parts["raw"]
    caption = (
        f"Factorial ANOVA of {found.n:,} values, closed form; 95% intervals: {found.interval} over {found.n_units} "
        f"units ({found.level}). F and p treat rows as independent: for the family of models, F against models within "
        f"family is {_stratum(analysis)}."
    )
    columns = {name: name.replace("_", " ") for name in VARIANCE_COLUMNS if name in table.columns}
    return Display("variance", "What the variance is made of", caption, table, figures, columns)


def within_models(analysis: Analysis) -> Display:
    """Families, sets and their interaction, each against its own error."""
    found = analysis.within_models
    caption = (
        f"{found.n_units} models, each measured on all sets: families are tested against models within family, sets "
        "and family x set against what a model leaves over. p gg: for sets that differ in spread "
        f"(Greenhouse-Geisser epsilon {found.epsilon:.2f}). Partial eta2 with 95% jackknife intervals over models."
    )
    return Display("within", "Do families rank the sets differently?", caption, found.frame(), (_figure(found.plot),))


def _stratum(analysis: Analysis) -> str:
    try:
        found = analysis.strata
    except UserError:
        return "not defined here"
    df = f"{found.df} and {found.df_error} degrees of freedom"
    return f"{found.f:.2f} on {df} (p = {found.p:.2g}; pooled over rows it would be {found.pooled_f:.2f})"


def mean_ranks(analysis: Analysis) -> Display:
    """Mean ranks and the critical-difference diagram."""
    found = analysis.friedman
    figures = list(_rank_figures(analysis)) if analysis.measures.rows is not None else []
    order = np.argsort(found.mean_ranks)
    means = pl.Series("mean rank", found.mean_ranks[order])
    table = pl.DataFrame(
        {"place": means.round(9).rank("min"), "name": [found.names[i] for i in order], "mean rank": means}
    )
    return Display("ranks", "Who ranks best", _how_ranked(analysis), table, tuple(figures))


def _how_ranked(analysis: Analysis) -> str:
    """The test of ranks over units; measures of the same models are no replicates, and have none."""
    found, tied = analysis.friedman, "Rows of one place tie exactly."
    if analysis.measures.rows is None:
        return (
            f"Mean ranks over {found.blocks} OOD measures; Kendall's W {found.w:.3f} says how far they agree. "
            f"They are of the same models and no independent replicates, so ranks have no test here. {tied}"
        )
    return (
        f"Friedman over {found.blocks} blocks ({found.level}) and {found.treatments} treatments: chi2 "
        f"{found.chi2:.2f}, Kendall's W {found.w:.3f}, Iman-Davenport F {found.f:.2f} (p = {found.p:.2g}); critical "
        f"difference {found.critical_difference:.2f}. {tied}"
    )


def _rank_figures(analysis: Analysis) -> Iterator[Figure]:
    found = analysis.friedman
    near = found.critical_difference
    best = np.argsort(found.mean_ranks)[:24]
    names = tuple(found.names[i] for i in best)
    shown = "" if found.treatments <= 24 else f" (the best 24 of {found.treatments})"
    draw = partial_of(_plots.critical_difference, names, found.mean_ranks[best], found.critical_difference)
    yield _figure(draw, f"Critical-difference diagram{shown}: a bar joins what differs by less than {near:.2f}", 480)
    yield _figure(analysis.ranks.plot, "Mean ranks over units, 95% intervals; dashed: best + critical difference")


def recommendation(analysis: Analysis) -> Display:
    """The detector of best worst-case mean rank, judged on OOD sets that it was not chosen on."""
    found = analysis.recommendation
    if said := undecided(found):
        return Display("recommendation", "Which detector to take", said, found.frame(), (_figure(found.plot),))
    first = " and ".join(found.safest)
    caption = (
        f"{first} {'has' if len(found.safest) == 1 else 'tie exactly for'} the best worst-case mean rank "
        f"({found.worst_rank[found.best]}). Chosen without a set and judged on it, the rule has mean rank "
        f"{found.held_out} and AUROC {found.held_out_value}; choosing and judging on the same sets would hide "
        f"{found.optimism} ranks. {found.stability_sentence}"
    )
    return Display("recommendation", "Which detector to take", caption, found.frame(), (_figure(found.plot),))


def partial(analysis: Analysis) -> Display:
    """Partial correlations given the ID measure: heat map and network; every smoother in the table."""
    found = analysis.partial
    figures = (
        _figure(found.plot, "Partial correlation (linear)"),
        _figure(
            partial_of(_plots.network, found.names, found.values), "As a network: blue positive, red negative", 420
        ),
    )
    caption = (
        f"Correlation of two OOD measures given {analysis.measures.id_word}, over {found.n_units} units; p by "
        f"{found.correction}. The sign can depend on the smoother: the table has the line, ranks, cubic, natural "
        "and smoothing spline beside the plain correlation."
    )
    return Display(
        "partial", "Do OOD measures agree beyond the ID measure?", caption, analysis.partial_frame(), figures
    )


def published(analysis: Analysis) -> Display:
    """What the paper states beside what its table supports."""
    if analysis.profile is None or not analysis.profile.paper.statements:
        raise UserError("Expected statements of a paper to compare, but this table has none.")
    from outfield.reports.paper_statements import side_by_side

    caption = f"Source: {analysis.profile.cited}"
    return Display(
        "published", "What is stated, and what the table supports", caption, side_by_side(analysis), open=True
    )


def left_out(analysis: Analysis) -> Display:
    """Rows and columns that the reading of the table left out, and why."""
    ignored = analysis.measures.ignored
    if ignored is None:
        raise UserError("Expected rows or columns that were left out, but there are none.")
    caption = "Rows that are no models, and columns that are neither names nor measures. Name a column to have it read."
    return Display("left-out", "Rows and columns left out", caption, ignored)


SECTIONS = {
    "What the paper states": (published,),
    "ID against OOD": (relation, rows_and_kin, families_left_out, on_the_line, patterns, shapes, sides, calibration),
    "Variance": (variance, within_models),
    "Ranks": (mean_ranks, recommendation),
    "Agreement beyond ID": (partial,),
    "Noise of the cells": (reliability, without_noise),
    "Reading": (left_out,),
}
"""Sections of the page and their displays; a display that the table does not allow is left out."""
