"""Displays of a table's statistics: each takes an ``Analysis`` and returns a ``Display``."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.reports.analysis import Analysis
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.stats import _plots, lowess

MOST_FIGURES = 6
VARIANCE_COLUMNS = ("scale", "term", "df", "f", "eta2", "eta2_low", "eta2_high", "partial_eta2", "omega2")


def _figure(chart: alt.TopLevelMixin, title: str = "", min_width: int = 320) -> Figure:
    """A chart as wide as its place on the page, its title beside it."""
    return Figure(style.contained(chart), title, min_width)


def relation(analysis: Analysis) -> Display:
    """ID against OOD: each unit a point, a LOWESS curve with its bootstrap band."""
    table = analysis.measures
    families = table.families if table.has_families else ()
    figures = []
    for ood in table.ood[:MOST_FIGURES]:
        found = lowess(table.column(table.id), table.column(ood), names=table.names, draws=200)
        curve = np.stack([found.grid, found.value], axis=1)
        band = np.stack([found.grid, found.low, found.high], axis=1)
        chart = _plots.scatter(
            found.x, found.y, table.names, x_title=table.id_word, y_title=ood, colour=families, curve=curve, band=band
        )
        rho = analysis.relations[ood].whole.estimate
        figures.append(_figure(chart, f"{ood}: Spearman {rho}"))
    caption = (
        f"{table.units.height} {_units(analysis)}; curve: LOWESS with a pointwise 95% band from resampled units (a "
        "picture, not a test). Spearman with Bonett and Wright's 95% interval; p by Holm over the OOD measures."
    )
    return Display("relation", "ID against OOD", caption, analysis.relation_frame(), tuple(figures), open=True)


def _units(analysis: Analysis) -> str:
    return "strategies (means over seeds)" if analysis.measures.level == "strategy" else "models"


def families_left_out(analysis: Analysis) -> Display:
    """The correlation, leaving one family out at a time."""
    if not analysis.measures.has_families:
        raise UserError("Expected families, but the table names none. Pass --family COLUMN.")
    chosen = list(analysis.relations.items())[:MOST_FIGURES]
    figures = tuple(_figure(found.plot(), ood) for ood, found in chosen)
    table = pl.concat([found.frame().select(pl.lit(ood).alias("measure"), pl.all()) for ood, found in chosen])
    caption = "Spearman's rho of the ID with the OOD measure: all units, then without each family; 95% intervals."
    return Display("families", "Does one family carry it?", caption, table, figures)


def on_the_line(analysis: Analysis) -> Display:
    """Accuracy on the line, both axes in probit scale."""
    figures = [_figure(line.plot(), f"{ood}: slope {line.slope}, R2 {line.r2:.3f}")
               for ood, line in list(analysis.lines.items())[:MOST_FIGURES]]  # fmt: skip
    caption = "Least-squares line in probit scale with its 95% band; the distance from it is effective robustness."
    return Display("line", "Accuracy on the line", caption, analysis.line_frame(), tuple(figures))


def shapes(analysis: Analysis) -> Display:
    """Is it monotonic? Quadratic with end slopes, two lines, a break given in advance."""
    caption = (
        "Lind-Mehlum: slopes of a quadratic at both ends (HC3), p the larger one-sided one. Two lines: slopes on both "
        "sides of a break set by the data. Interrupted: the break is the baseline. Each repeated without every family."
    )
    return Display("shape", "Is the relation monotonic?", caption, analysis.shape_frame(), open=True)


def calibration(analysis: Analysis) -> Display:
    """Calibration error against the OOD measure."""
    table, found = analysis.measures, analysis.ece
    families = table.families if table.has_families else ()
    chart = _plots.scatter(found.x, found.y, table.names, x_title="ECE", y_title=analysis.main, colour=families)
    caption = f"Expected calibration error against {analysis.main}: Spearman {found.estimate}."
    columns = ["unit", "family", str(table.ece), analysis.main]
    return Display("ece", "Calibration against OOD", caption, table.units.select(columns), (_figure(chart),))


def variance(analysis: Analysis) -> Display:
    """Shares of variance with intervals, on the raw and on the logit scale."""
    parts = analysis.variance
    figures = tuple(_figure(found.plot(), f"{name} scale") for name, found in parts.items())
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
    figures = list(_rank_figures(analysis))
    order = np.argsort(found.mean_ranks)
    table = pl.DataFrame({"name": [found.names[i] for i in order], "mean rank": found.mean_ranks[order]})
    caption = (
        f"Friedman over {found.blocks} blocks ({found.level}) and {found.treatments} treatments: chi2 "
        f"{found.chi2:.2f}, Kendall's W {found.w:.3f}, Iman-Davenport F {found.f:.2f} (p = {found.p:.2g}); critical "
        f"difference {found.critical_difference:.2f}."
    )
    return Display("ranks", "Who ranks best", caption, table, tuple(figures))


def _rank_figures(analysis: Analysis) -> Iterator[Figure]:
    found = analysis.friedman
    near = found.critical_difference
    best = np.argsort(found.mean_ranks)[:24]
    names = tuple(found.names[i] for i in best)
    shown = "" if found.treatments <= 24 else f" (the best 24 of {found.treatments})"
    chart = _plots.critical_difference(names, found.mean_ranks[best], found.critical_difference)
    yield _figure(chart, f"Critical-difference diagram{shown}: a bar joins what differs by less than {near:.2f}", 480)
    if analysis.measures.rows is not None:
        yield _figure(analysis.ranks.plot(), "Mean ranks over units, 95% intervals; dashed: best + critical difference")


def recommendation(analysis: Analysis) -> Display:
    """The detector of best worst-case mean rank, judged on OOD sets that it was not chosen on."""
    found = analysis.recommendation
    first = " and ".join(found.safest)
    caption = (
        f"{first} {'has' if len(found.safest) == 1 else 'tie exactly for'} the best worst-case mean rank "
        f"({found.worst_rank[found.best]}). Chosen without a set and judged on it, the rule has mean rank "
        f"{found.held_out} and AUROC {found.held_out_value}; choosing and judging on the same sets would hide "
        f"{found.optimism} ranks. {found.stability_sentence}"
    )
    return Display("recommendation", "Which detector to take", caption, found.frame(), (_figure(found.plot()),))


def partial(analysis: Analysis) -> Display:
    """Partial correlations given the ID measure: heat map and network; every smoother in the table."""
    found = analysis.partial
    figures = (
        _figure(found.plot(), "Partial correlation (linear)"),
        _figure(_plots.network(found.names, found.values), "As a network: blue positive, red negative", 420),
    )
    caption = (
        f"Correlation of two OOD measures given {analysis.measures.id_word}, over {found.n_units} units; p by "
        f"{found.correction}. The sign can depend on the smoother: the table has linear, rank and spline beside the "
        "plain correlation."
    )
    return Display(
        "partial", "Do OOD measures agree beyond the ID measure?", caption, analysis.partial_frame(), figures
    )


def published(analysis: Analysis) -> Display:
    """What the paper states beside what its table supports."""
    if analysis.example is None or not analysis.example.statements:
        raise UserError("Expected statements of a paper to compare, but this table has none.")
    from outfield.reports.paper_statements import side_by_side

    caption = f"Source: {analysis.example.source}."
    return Display(
        "published", "What is stated, and what the table supports", caption, side_by_side(analysis), open=True
    )


SECTIONS = {
    "What the paper states": (published,),
    "ID against OOD": (relation, families_left_out, on_the_line, shapes, calibration),
    "Variance": (variance,),
    "Ranks": (mean_ranks, recommendation),
    "Agreement beyond ID": (partial,),
}
"""Sections of the page and their displays; a display that the table does not allow is left out."""
