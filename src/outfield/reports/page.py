"""The report: one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

import io
import json
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import isnan
from pathlib import Path

import jinja2
import polars as pl
import vl_convert
import yaml

from outfield.errors import UserError
from outfield.reports.answer import sentences
from outfield.reports.displays import accuracy, calibration, cost, detectors, errors, sets, shifts, variance
from outfield.reports.displays._style import FAMILY, GREY, PENTAGON, SHAPES, USED
from outfield.reports.displays.base import Display
from outfield.reports.results import INFORMATION, Results, in_order
from outfield.store.write import atomically

SECTIONS: dict[str, tuple[Callable[[Results], Display], ...]] = {
    "Which detector to take": (detectors.best_per_strategy, detectors.worst_case, detectors.mean_ranks),
    "Accuracy against detection": (
        accuracy.accuracy_against_auroc,
        accuracy.without_each_family,
        accuracy.accuracy_by_category,
        accuracy.accuracy_by_detector,
    ),
    "Strategy, detector, OOD set": (variance.variance_shares, detectors.heat_map, detectors.boxes),
    "What is far, what is near": (sets.by_category, sets.synthetic_parts),
    "Errors, calibration, features": (
        errors.correct_and_incorrect,
        calibration.ece_against_auroc,
        calibration.feature_statistics,
    ),
    "Generalisation under shift": (shifts.under_shift, shifts.generalisation_against_detection),
    "Cost": (cost.cost,),
}
"""The page's sections in the order of a reader's questions, and the displays of each."""


@dataclass(frozen=True)
class Shown:
    """A display as the template takes it."""

    display: Display
    specs: tuple[str, ...]
    csv: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns of the table hold numbers."""
        return tuple(self.display.table.schema[name].is_numeric() for name in self.display.headings())


def write(study: Path | str | pl.DataFrame, path: Path | str, *, command: str = "") -> Path:
    """Write a study's report as one self-contained HTML file.

    Parameters
    ----------
    study : path or frame
        A study's folder, a Parquet file of rows, or rows.
    path : path
        The file to write.
    command : str
        What reproduces the study, shown on the page.

    Raises
    ------
    UserError
        There are no rows, or the file cannot be written.

    Examples
    --------
    >>> write("results/digits", "report.html")  # doctest: +SKIP
    """
    path, text = Path(path), html(Results.of(study), command=command)
    with atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def html(results: Results, *, command: str = "") -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("outfield.reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    sections = {title: [_shown(_built(build, results)) for build in builds] for title, builds in SECTIONS.items()}
    return environment.get_template("page.html").render(
        title=_title(results),
        answer=sentences(results),
        facts=_facts(results),
        cautions=results.cautions,
        legends={
            "family": [(name, FAMILY.get(name, GREY), _symbol(name)) for name in results.families],
            "information": [(name, USED.get(name, GREY), "circle") for name in _used(results)],
        },
        sections=sections,
        provenance=_provenance(results),
        manifest=_study_file(results),
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=_vega(),
    )


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return _inline(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _used(results: Results) -> tuple[str, ...]:
    return in_order(sorted(set(results.information.values())), INFORMATION)


def _symbol(family: str) -> str:
    """The page's drawing of a family's shape."""
    shape = SHAPES.get(family, "circle")
    return "pentagon" if shape == PENTAGON else shape


def _title(results: Results) -> str:
    names = results.rows["study"].drop_nulls().unique().sort().to_list()
    return ", ".join(names) or "Study"


def _built(build: Callable[[Results], Display], results: Results) -> Display:
    """A display, or what is missing for it."""
    try:
        return build(results)
    except UserError as error:
        heading = (build.__doc__ or build.__name__).splitlines()[0].rstrip(".")
        return Display.absent(build.__name__.replace("_", "-"), heading.partition(":")[0], str(error))


def _shown(display: Display) -> Shown:
    specs = tuple(_inline(json.dumps(figure.spec(), separators=(",", ":"))) for figure in display.figures)
    return Shown(display, specs, _inline(_csv(display.table)), tuple(_cells(display)))


def _inline(text: str) -> str:
    """Text that may stand in a script element: nothing in it ends the element early."""
    return re.sub(r"<(?=/script|!--|script)", r"\\u003C", text, flags=re.IGNORECASE)


def _csv(table: pl.DataFrame) -> str:
    buffer = io.StringIO()
    table.write_csv(buffer, float_precision=6)
    return buffer.getvalue()


def _cells(display: Display) -> Iterator[tuple[str, ...]]:
    names = list(display.headings())
    if display.table.is_empty():
        return
    yield from zip(*(_column(display.table[name]) for name in names), strict=True)


def _column(values: pl.Series) -> list[str]:
    """A column as text: three decimals, none where all numbers are whole or one is large."""
    if not values.dtype.is_float():
        return ["" if value is None else str(value) for value in values]
    known = values.drop_nulls().drop_nans()
    whole = bool((known == known.round()).all()) or bool((known.abs() >= 1000).any())
    return ["" if value is None or isnan(value) else f"{value:,.{0 if whole else 3}f}" for value in values]


def _facts(results: Results) -> list[tuple[str, str]]:
    counts = {
        "strategies": results.strategies.height,
        "models": results.models.height,
        "detectors": len(results.detectors),
        "OOD sets": results.auroc["ood"].n_unique(),
        "shifts": results.rows["shift"].drop_nulls().n_unique(),
        "rows": results.rows.height,
    }
    return [(name, f"{count:,}") for name, count in counts.items() if count]


def _provenance(results: Results) -> list[tuple[str, str]]:
    rows = results.rows
    jobs = rows.group_by("model", "detector").agg(pl.col("seconds").first())
    seconds = jobs["seconds"].sum() or 0.0
    facts = [
        ("outfield", _distinct(rows, "outfield")),
        ("torch", _distinct(rows, "torch")),
        ("Python and system of this report", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("ID set", _distinct(rows, "id")),
        ("OOD sets", _distinct(results.auroc, "ood")),
        ("seeds", _distinct(rows, "seed")),
        ("digest of the ID test set", _distinct(rows, "data_digest")),
        ("digests of the models' weights", _distinct(rows, "model_digest")),
        ("detectors tuned", "yes" if rows["tuned"].any() else "no, every detector has its paper's parameters"),
        ("seconds to fit, score and measure, all jobs", f"{seconds:,.0f}" if seconds else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _distinct(table: pl.DataFrame, column: str, most: int = 60) -> str:
    found = table[column].drop_nulls().unique().sort().cast(pl.String).to_list()
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def _study_file(results: Results) -> str:
    study = results.manifest.get("study")
    return yaml.safe_dump(study, sort_keys=False, allow_unicode=True) if study else ""
