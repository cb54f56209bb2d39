"""A study at a glance: what it is, what it found, what can be selected of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import polars as pl

from outfield.dashboard import displays
from outfield.dashboard.selection import ID_SET, Selection
from outfield.dashboard.studies import Indexing, Study
from outfield.errors import OutfieldError, UserError
from outfield.reports import page
from outfield.reports import trajectory_page as trajectories
from outfield.reports.headline import sentences
from outfield.reports.results import Results
from outfield.store.write import SCORES
from outfield.trajectory.analysis import Trajectories


def outline(study: Study) -> dict[str, Any]:
    """What the list of studies says of one; a study that cannot be read says why, and the others are listed."""
    try:
        return study.outline()
    except Indexing:
        raise
    except Exception as error:
        said = displays.told(error)
        return {"name": study.name, "title": study.name, "kind": "study", "done": 0, "total": 0, "running": False,
                "models": None, "detectors": None, "sets": None, "updated": None, "error": said}  # fmt: skip


def study(study: Study) -> dict[str, Any]:
    """Everything about a study but its displays."""
    found = study.once("overview", lambda: _tracked(study) if study.kind == "trajectory" else _measured(study))
    checks = study.peek("findings")
    return {
        **study.outline(),
        **found,
        **(checks or {"findings": [], "unchecked": ""}),
        "pending": [] if checks or study.kind == "trajectory" else ["findings"],
        "cautions": [*_damaged(study), *found["cautions"]],
        "sections": displays.contents(study),
    }


def findings(study: Study) -> dict[str, Any]:
    """What the checks find in a study's rows, or why they cannot run: what may take longer than the rest."""
    return study.once("findings", lambda: _checked(study))


def _checked(study: Study) -> dict[str, Any]:
    if study.kind == "trajectory":
        return {"findings": [], "unchecked": "The checks are for studies of detectors; these are tracked runs."}
    try:
        found, unchecked = page.findings_or_reason(displays.results(study, Selection()))
    except UserError as error:
        return {"findings": [], "unchecked": str(error)}
    said = [
        {"code": one.code, "severity": one.severity, "title": one.title, "text": text}
        for one in found
        for text in one.sentences
    ]
    return {"findings": said, "unchecked": unchecked}


def warm(study: Study) -> Iterator[None]:
    """Work out what the first visitor of a study would wait for, a part at a time."""
    try:
        outline(study)
        for builds in displays.sections(study).values():
            for name in builds:
                yield
                displays.display(study, name, Selection())
        findings(study)
    except OutfieldError:
        return


def _damaged(study: Study) -> list[str]:
    files = study.index.damaged()
    named = ", ".join(files[:5]) + (" and others" if len(files) > 5 else "")
    return [f"Damaged and left out: {named} ({len(files)}). Run the study again to renew them."] if files else []


def _measured(study: Study) -> dict[str, Any]:
    try:
        results: Results = displays.results(study, Selection())
    except UserError as error:
        return _nothing([str(error)])
    return {
        "facts": _facts(study, results),
        "answer": _said(lambda: sentences(results)),
        "cautions": _said(lambda: results.cautions),
        "models": _models(results),
        "detectors": [{"name": name, "information": results.information[name]} for name in results.detectors],
        "sets": _sets(results.rows),
        "has_samples": (study.folder / SCORES).is_dir(),
    }


def _tracked(study: Study) -> dict[str, Any]:
    try:
        found: Trajectories = displays.results(study, Selection())
    except UserError as error:
        return _nothing([str(error)])
    models = found.rows.unique("model", keep="first", maintain_order=True)
    return {
        "facts": _counted(
            {
                "models": len(found.models),
                "runs": sum(len(model.runs) for model in found.models),
                "checkpoints": max(len(model.steps) for model in found.models) + 1,
                "measures": max(len(model.values) for model in found.models),
                "rows": found.rows.height,
            }
        ),
        "answer": _said(lambda: trajectories.sentences(found)),
        "cautions": _said(lambda: trajectories.cautions(found)),
        "models": [
            {**row, "performance": None, "auroc": None}
            for row in models.select("model", "strategy", "family", "seed").iter_rows(named=True)
        ],
        "detectors": [{"name": name, "information": "other"} for name in _distinct(found.rows, "detector")],
        "sets": _sets(found.rows),
        "has_samples": False,
    }


def _nothing(cautions: list[str]) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ("facts", "answer", "models", "detectors", "sets")}
    return empty | {"cautions": cautions, "has_samples": False}


def _said(make: Callable[[], Iterable[str]]) -> list[str]:
    """Sentences, or why there are none."""
    try:
        return list(make())
    except Exception as error:
        return [displays.told(error)]


def _facts(study: Study, results: Results) -> list[list[str]]:
    shifts, rows = (f"SELECT count({what}) FROM rows" for what in ("DISTINCT shift", "*"))
    return _counted({
        "strategies": results.strategies.height, "models": results.models.height,
        "detectors": len(results.detectors), "OOD sets": results.auroc["ood"].n_unique(),
        "shifts": study.index.ask(shifts).item(), "rows": study.index.ask(rows).item(),
    })  # fmt: skip


def _counted(facts: dict[str, int]) -> list[list[str]]:
    return [[name, f"{count:,}"] for name, count in facts.items() if count]


def _models(results: Results) -> list[dict[str, Any]]:
    columns = ("model", "strategy", "family", "seed", "auroc")
    table = results.models.select(*columns, performance=results.performance, measure=pl.lit(results.measure.word))
    return list(table.sort("model").iter_rows(named=True))


def _sets(rows: pl.DataFrame) -> list[dict[str, Any]]:
    known = rows.filter(pl.col("ood").is_not_null()).unique("ood", keep="first", maintain_order=True)
    titles = _distinct(rows, "id")
    first = {"name": ID_SET, "title": titles[0] if titles else ID_SET, "kind": "id", "category": None}
    return [first, *map(_set, known.iter_rows(named=True))]


def _set(row: dict[str, Any]) -> dict[str, Any]:
    return {"name": row["ood"], "title": row["ood"], "kind": row["set_kind"], "category": row["ood_category"]}


def _distinct(rows: pl.DataFrame, column: str) -> list[str]:
    return list(map(str, rows[column].drop_nulls().unique(maintain_order=True)))
