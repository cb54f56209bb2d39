"""The analysis of a table as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, plural
from outfield.reports import trajectory_page
from outfield.reports.analysis import Analysis
from outfield.reports.displays import analyses
from outfield.reports.displays.analyses import FURTHER
from outfield.reports.displays.base import Display
from outfield.reports.displays.statistics import SECTIONS
from outfield.reports.findings import Finding, findings, ordered, told
from outfield.reports.headline import ERRORS, PREDICTION
from outfield.reports.html import display_or_reason, environment, legends, render, tally, vega
from outfield.store.write import write_text


def displays(analysis: Analysis) -> dict[str, list[Display]]:
    """Sections and their displays, those that the table allows; last the analyses of other packages, or why not.

    Examples
    --------
    >>> from outfield.reports.analysis import analyse
    >>> [display.code for display in displays(analyse(example="krumpl2026"))["ID against OOD"]]
    ['relation', 'families', 'patterns', 'shape', 'sides', 'ece']

    Raises
    ------
    UserError
        The table allows none.
    """
    found, refused = {}, []
    for title, builds in SECTIONS.items():
        allowed = []
        for build in builds:
            try:
                allowed.append(build(analysis))
            except UserError as error:
                refused.append(str(error))
        if allowed:
            found[title] = allowed
    if (results := analysis.results) is not None and (further := analyses.others((*PREDICTION, ERRORS))):
        found[FURTHER] = [display_or_reason(build, results) for build in further]
    if not found:
        raise UserError(
            f"Expected a table that allows a statistic, but none can be made. {' '.join(dict.fromkeys(refused))}"
        )
    return found


def along(analysis: Analysis) -> dict[str, list[Display]]:
    """Sections on runs along training and their displays, where rows are checkpoints."""
    if (found := analysis.along) is None:
        return {}
    built = {
        title: [display_or_reason(build, found) for build in builds]
        for title, builds in trajectory_page.sections(found).items()
    }
    return {_of_training(title): list(map(_apart, shown)) for title, shown in built.items()}


def _apart(display: Display) -> Display:
    """A display whose code is not that of one on the last checkpoints."""
    return replace(display, code=f"along-{display.code}")


def _of_training(title: str) -> str:
    """A title that tells the section from those on the last checkpoints."""
    return title if title == "Along training" else f"Along training: {title[0].lower()}{title[1:]}"


def answer(analysis: Analysis) -> tuple[str, ...]:
    """What runs along training say, in three sentences, where rows are checkpoints."""
    return () if analysis.along is None else trajectory_page.sentences(analysis.along)


@lru_cache(maxsize=1)
def stated(analysis: Analysis) -> tuple[Finding, ...]:
    """The findings of the checks, and those of the analyses where the table holds the rows of a study.

    Those of the last analysis are kept: a terminal and a page show the same.
    """
    further = () if analysis.results is None else tuple(analyses.findings(analysis.results))
    return ordered((*findings(analysis), *further))


def write(analysis: Analysis, path: Path | str, *, title: str = "") -> Path:
    """Write an analysis as one self-contained HTML file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    return write_text(html(analysis, title=title), path)


def html(analysis: Analysis, *, title: str = "") -> str:
    """The page as text."""
    shown = displays(analysis) | along(analysis)
    sections = {name: [render(each) for each in found] for name, found in shown.items()}
    return environment().get_template("analysis.html").render(
        title=title or (analysis.profile.title if analysis.profile else "Analysis"),
        facts=_facts(analysis), findings=told(stated(analysis)), sections=sections,
        legends={} if analysis.results is None else legends(analysis.results),
        note=" ".join([level(analysis), *analysis.measures.notes, *answer(analysis)]), vega=vega(),
    )  # fmt: skip


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    table = analysis.measures
    families = table.units["family"].n_unique() if table.has_families else 0
    kin = {plural(analysis.level): analysis.n_units} if table.clusters else {}
    return tally({plural(table.level): table.units.height, "OOD measures": len(table.ood), "families": families} | kin)


def level(analysis: Analysis) -> str:
    """What the independent units are, how many there are, and how they were found, in sentences.

    Examples
    --------
    >>> from outfield.reports.analysis import analyse
    >>> level(analyse(example="resnet50-48"))
    'Inference is at the level of the model: 48 independent units. Each of 48 rows is taken as independent, as the ...'
    """
    table = analysis.measures
    if not table.clusters:
        said = f"Inference is at the level of the {analysis.level}: {table.units.height} independent units."
        return " ".join(filter(None, (said, table.clustering)))
    return (
        f"Inference is at the level of the {analysis.level}. {table.clustering} The rows tell as much as about "
        f"{analysis.independent:,.0f} independent ones."
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if isnan(value) else _number(value)
    return "" if value is None else str(value)


def _number(value: float) -> str:
    if value and abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def text_table(table: pl.DataFrame, most: int = 16) -> list[list[str]]:
    """A table's cells as text, for a terminal."""
    return [[_cell(value) for value in row] for row in table.head(most).iter_rows()]
