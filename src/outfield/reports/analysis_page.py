"""The analysis of a table as one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import vl_convert

from outfield.errors import UserError
from outfield.reports.analysis import Analysis
from outfield.reports.displays.base import Display
from outfield.reports.displays.statistics import SECTIONS
from outfield.reports.findings import findings
from outfield.store.write import atomically


@dataclass(frozen=True)
class _Shown:
    """A display as the template takes it."""

    display: Display
    specs: tuple[str, ...]
    csv: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        return tuple(self.display.table.schema[name].is_numeric() for name in self.display.headings())


def displays(analysis: Analysis) -> dict[str, list[Display]]:
    """Sections and their displays, those that the table allows.

    Examples
    --------
    >>> from outfield.reports.analysis import analyse
    >>> [display.code for display in displays(analyse(example="krumpl2026"))["ID against OOD"]]
    ['relation', 'families', 'shape', 'ece']
    """
    found = {}
    for title, builds in SECTIONS.items():
        shown = []
        for build in builds:
            try:
                shown.append(build(analysis))
            except UserError:
                continue
        if shown:
            found[title] = shown
    return found


def write(analysis: Analysis, path: Path | str, *, title: str = "") -> Path:
    """Write an analysis as one self-contained HTML file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    path, text = Path(path), html(analysis, title=title)
    with atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def html(analysis: Analysis, *, title: str = "") -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("outfield.reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    sections = {name: [_shown(each) for each in shown] for name, shown in displays(analysis).items()}
    return environment.get_template("analysis.html").render(
        title=title or (analysis.example.source.split(",")[0] if analysis.example else "Analysis"),
        facts=_facts(analysis), findings=findings(analysis), sections=sections,
        note=" ".join([_level(analysis), *analysis.measures.notes]), vega=_inline(_vega()),
    )  # fmt: skip


def _vega() -> str:
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    table = analysis.measures
    facts = [(_plural(table.level), f"{table.units.height:,}"), ("OOD measures", f"{len(table.ood):,}")]
    if table.has_families:
        facts.append(("families", f"{table.units['family'].n_unique():,}"))
    return facts


def _plural(level: str) -> str:
    return "strategies" if level == "strategy" else "models"


def _level(analysis: Analysis) -> str:
    level = analysis.measures.level
    return f"Inference is at the level of the {level}: {analysis.measures.units.height} independent units."


def _shown(display: Display) -> _Shown:
    specs = tuple(_inline(json.dumps(figure.spec(), separators=(",", ":"))) for figure in display.figures)
    buffer = io.StringIO()
    display.table.write_csv(buffer, float_precision=6)
    names = list(display.headings())
    rows = tuple(tuple(map(_cell, row)) for row in display.table.select(names).iter_rows())
    return _Shown(display, specs, _inline(buffer.getvalue()), rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if isnan(value) else _number(value)
    return "" if value is None else str(value)


def _number(value: float) -> str:
    if value and abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def _inline(text: str) -> str:
    """Text that may stand in a script element: nothing in it ends the element early."""
    return re.sub(r"<(?=/script|!--|script)", r"\\u003C", text, flags=re.IGNORECASE)


def text_table(table: pl.DataFrame, most: int = 16) -> list[list[str]]:
    """A table's cells as text, for a terminal."""
    return [[_cell(value) for value in row] for row in table.head(most).iter_rows()]
