"""The report's displays, each alone: built of the rows that are selected, kept until the rows change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import polars as pl

from outfield.dashboard import replies
from outfield.dashboard.selection import Selection
from outfield.dashboard.studies import Study, Unknown, contained
from outfield.errors import UserError
from outfield.reports import page
from outfield.reports import trajectory_page as trajectories
from outfield.reports.displays.analyses import FURTHER
from outfield.reports.displays.base import Display, Figure
from outfield.reports.html import cell_texts, display_or_reason, legends
from outfield.reports.results import Results
from outfield.store.query import quoted
from outfield.store.schema import COLUMNS
from outfield.trajectory.analysis import Trajectories

SHOWN = 200
"""Rows of a display's table in its answer; the file to save has all."""
MANY = 1_000_000
"""Rows above which displays read those that they need, and not all."""
NEEDED = "role = 'test' AND (detector IS NULL OR set_kind = 'id' OR (metric = 'auroc' AND part IS NULL))"
"""The rows that displays read, in SQL."""
DIAGNOSTIC = "role = 'test' AND part IS NULL AND metric LIKE 'auroc%'"
OWN = {
    "correct-and-incorrect": DIAGNOSTIC,
    "four-aurocs": DIAGNOSTIC,
    "synthetic-parts": "role = 'test' AND metric = 'auroc'",
}
"""Displays to the rows that they read instead: several times as many, so they are not kept."""
OWN_COLUMNS = (
    *("model", "strategy", "family", "seed", "role", "detector", "set_kind", "ood", "part", "ood_category"),
    *("metric", "value", "n_ood"),
)
"""What displays with rows of their own read of them."""
EVERY = (", ".join(map(quoted, COLUMNS)), "role IN ('test', 'group')")
"""Columns and rows that an analysis of another package may read."""
UNREAD = ("run", "params", "data_digest", "model_digest", "outfield", "torch")
"""Columns that none reads."""

Build = Callable[[Any], Display]

APART = {
    "best-per-strategy": {"detector"},
    "worst-case": {"detector"},
    "mean-ranks": {"detector"},
    "score-densities": {"set"},
    "under-shift": {"detector", "set"},
    "cost": {"set"},
}
"""Displays to what they do not follow: of one detector alone a ranking says nothing, and what does not depend on a
detector or an OOD set need not be built again for one."""


with suppress(ImportError):
    import_module("pandas")
"""Statistics and charts import pandas when they first need it, which two threads must not do at the same time."""


def sections(study: Study) -> dict[str, dict[str, Build]]:
    """Titles of sections to their displays, by name."""
    table: dict[str, tuple[Build, ...]] = dict(trajectories.SECTIONS if study.kind == "trajectory" else page.sections())
    return {title: {_name(build): build for build in builds} for title, builds in table.items()}


def _name(build: Build) -> str:
    return build.__name__.replace("_", "-")


def heading(build: Build) -> str:
    """What a display is about, before it is built."""
    return (build.__doc__ or build.__name__).splitlines()[0].rstrip(".").partition(":")[0]


def contents(study: Study) -> list[dict[str, Any]]:
    """Sections and displays, as the page lists them; a display that is built already has its own title."""

    def title_of(name: str, build: Build) -> str:
        made: Display | None = study.peek(("display", name, Selection()))
        return made.title if made is not None else heading(build)

    return [
        {"title": title, "displays": [{"id": name, "title": title_of(name, build)} for name, build in builds.items()]}
        for title, builds in sections(study).items()
    ]


def results(study: Study, selection: Selection) -> Any:
    """The rows of a selection, ready for displays."""
    if study.kind == "trajectory":
        return study.once("trajectories", lambda: _trajectories(study))
    if selection.fields:
        return study.once(("results", selection), lambda: _selected(study, selection), study.selected)
    return study.once("results", lambda: _results(study))


def _trajectories(study: Study) -> Trajectories:
    if not contained(study.folder):
        raise UserError(
            f"Expected files of {study.name} alone, but a link leads out of its folder. Put the files there."
        )
    return Trajectories.of(study.folder)


def _results(study: Study) -> Results:
    count = _count(study)
    if not count:
        raise UserError("Expected the rows of a study, but there is none yet. Run it: outfield run STUDY.")
    where, columns = (NEEDED, _needed()) if count > MANY else ("true", ", ".join(map(quoted, COLUMNS)))
    rows = study.index.ask(f"SELECT {columns} FROM rows WHERE {where} ORDER BY job, number")
    manifest = {"study": study.manifest}
    folder = study.folder if contained(study.folder) else None
    return replace(Results.of(rows), manifest=manifest, progress=study.progress, folder=folder)


def _count(study: Study) -> int:
    return study.once("rows", lambda: int(study.index.ask("SELECT count(*) FROM rows").item()))


def _source(study: Study, name: str, selection: Selection) -> Any:
    """What a display is built of: the rows of a selection, in a large study its own where it has some."""
    found = results(study, selection)
    read = (", ".join(OWN_COLUMNS), OWN[name]) if name in OWN else EVERY if name in _foreign() else None
    if study.kind == "trajectory" or read is None or _count(study) <= MANY:
        return found
    where, values = selection.belonging()
    asked = f"SELECT {read[0]} FROM rows WHERE {read[1]} AND {where} ORDER BY rowid"
    rows = study.index.ask(asked, values)
    return found if rows.is_empty() else replace(found, rows=Results.of(rows).rows)


def _foreign() -> set[str]:
    """The displays of analyses that other packages contribute."""
    return {_name(build) for build in page.sections().get(FURTHER, ())}


def _needed() -> str:
    """Every column, those that no display reads empty."""
    return ", ".join(f"NULL::VARCHAR AS {name}" if name in UNREAD else quoted(name) for name in COLUMNS)


def _selected(study: Study, selection: Selection) -> Results:
    whole: Results = results(study, Selection())
    rows = selection.of(whole.rows)
    if rows.is_empty():
        raise UserError("Expected rows of this selection, but there is none.")
    return replace(whole, rows=rows)


def display(study: Study, name: str, selection: Selection) -> dict[str, Any]:
    """A display as the page takes it; the selection is followed as far as the display allows."""
    build = _build(study, name)
    found, followed = _followed(study, build, selection)
    return {
        "id": name,
        "title": found.title,
        "about": found.caption,
        "note": _note(selection, followed),
        "specs": study.once(("specs", name, followed), lambda: [_spec(found, figure) for figure in found.figures]),
        "charts": [{"title": figure.title, "min_width": figure.min_width} for figure in found.figures],
        "legend": _legend(study, found),
        "legend_of": found.legend,
        "open": found.open,
        "columns": replies.columns(found.table, found.headings()) if found.table.width else [],
        "rows": list(_rows(found)),
        "n": found.table.height,
        "empty": found.missing or None,
        "follows": list(followed.fields),
    }


def table(study: Study, name: str, selection: Selection) -> pl.DataFrame:
    """The numbers behind a display."""
    return _followed(study, _build(study, name), selection)[0].table


def _build(study: Study, name: str) -> Build:
    for builds in sections(study).values():
        if name in builds:
            return builds[name]
    raise Unknown(f"Expected a display of this study, but got {name!r}. Choose one of its sections.")


def _followed(study: Study, build: Build, selection: Selection) -> tuple[Display, Selection]:
    """The display of as much of the selection as it can be built of, and how much that is."""
    whole = _built(study, build, Selection())
    if study.kind == "trajectory" or whole.missing:
        return whole, Selection()
    open_to = tuple(field for field in selection.fields if field not in APART.get(_name(build), ()))
    for part in selection.only(open_to).narrower():
        found = _built(study, build, part)
        if not found.missing:
            return found, part.only(tuple(_effective(study, build, part)))
    return whole, Selection()


def _effective(study: Study, build: Build, selection: Selection) -> Iterator[str]:
    """The fields without which the display would be another."""
    found = _built(study, build, selection)
    for name in selection.fields:
        without = selection.only(tuple(other for other in selection.fields if other != name))
        if not found.table.equals(_built(study, build, without).table):
            yield name


def _built(study: Study, build: Build, selection: Selection) -> Display:
    return study.once(("display", _name(build), selection), lambda: _made(study, build, selection))


def _made(study: Study, build: Build, selection: Selection) -> Display:
    """A display, or why there is none: what fails in one does not take the others with it."""
    try:
        return display_or_reason(build, _source(study, _name(build), selection))
    except Exception as error:
        return Display.absent(_name(build), heading(build), told(error))


def told(error: Exception) -> str:
    """What a page says of a failure: a mistake as it is put, a fault with its kind."""
    return str(error) if isinstance(error, UserError) else f"This failed: {type(error).__name__}: {error}"


def _legend(study: Study, display: Display) -> list[list[str]]:
    """What the colours of a display mean: name, colour and shape of each."""
    if not display.legend or study.kind == "trajectory":
        return []
    known = study.once("legends", lambda: legends(results(study, Selection())))
    return [list(entry) for entry in known[display.legend][1]] if display.legend in known else []


def _spec(display: Display, figure: Figure) -> dict[str, Any]:
    title = f"{display.title}: {figure.title}" if figure.title else display.title
    return figure.spec() | {"description": f"{title}. {display.caption}"}


def _note(selection: Selection, followed: Selection) -> str:
    """What of the selection this display does not follow."""
    left = [name for name in selection.fields if name not in followed.fields]
    if not left:
        return ""
    return f"For every {' and '.join(left)}: this display does not depend on one, or needs several."


def _rows(found: Display) -> Iterator[tuple[str, ...]]:
    if not found.table.is_empty():
        yield from zip(*(cell_texts(found.table[name].head(SHOWN)) for name in found.headings()), strict=True)
