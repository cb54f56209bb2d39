"""A study at a glance: what it is, what it found, what can be selected of it."""

from __future__ import annotations

from typing import Any

import polars as pl

from outfield.dashboard import displays
from outfield.dashboard.selection import ID_SET, Selection
from outfield.dashboard.studies import Study
from outfield.errors import UserError
from outfield.reports import trajectory as trajectories
from outfield.reports.analysis import analyse
from outfield.reports.answer import sentences
from outfield.reports.findings.checks import findings
from outfield.reports.results import Results
from outfield.store.write import SCORES
from outfield.trajectory.analysis import Trajectories


def outline(study: Study) -> dict[str, Any]:
    """What the list of studies says of one; a study that cannot be read says why, and the others are listed."""
    try:
        return study.outline()
    except UserError as error:
        return {"name": study.name, "title": study.name, "kind": "study", "done": 0, "total": 0, "running": False,
                "models": None, "detectors": None, "sets": None, "updated": None, "error": str(error)}  # fmt: skip


def study(study: Study) -> dict[str, Any]:
    """Everything about a study but its displays."""
    found = study.once("overview", lambda: _tracked(study) if study.kind == "trajectory" else _measured(study))
    damaged = study.index.damaged()
    said = (
        [f"{len(damaged)} result files are damaged and left out: {', '.join(damaged[:5])}. Run the study again."]
        if damaged
        else []
    )
    return {**study.outline(), **found, "cautions": [*said, *found["cautions"]], "sections": displays.contents(study)}


def _measured(study: Study) -> dict[str, Any]:
    try:
        results: Results = displays.results(study, Selection())
    except UserError as error:
        return _nothing([str(error)])
    return {
        "facts": _facts(study, results),
        "answer": _said(lambda: list(sentences(results))),
        "cautions": _said(lambda: list(results.cautions)),
        "findings": _findings(results),
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
        "answer": _said(lambda: list(trajectories.sentences(found))),
        "cautions": _said(lambda: list(trajectories.cautions(found))),
        "findings": [],
        "models": [
            {**row, "accuracy": None, "auroc": None}
            for row in models.select("model", "strategy", "family", "seed").iter_rows(named=True)
        ],
        "detectors": [{"name": name, "information": "other"} for name in _distinct(found.rows, "detector")],
        "sets": _sets(found.rows),
        "has_samples": False,
    }


def _nothing(cautions: list[str]) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ("facts", "answer", "findings", "models", "detectors", "sets")}
    return empty | {"cautions": cautions, "has_samples": False}


def _said(make: Any) -> list[str]:
    try:
        return list(make())
    except UserError as error:
        return [str(error)]


def _facts(study: Study, results: Results) -> list[list[str]]:
    shifts, rows = (f"SELECT count({what}) FROM rows" for what in ("DISTINCT shift", "*"))
    return _counted({
        "strategies": results.strategies.height, "models": results.models.height,
        "detectors": len(results.detectors), "OOD sets": results.auroc["ood"].n_unique(),
        "shifts": study.index.ask(shifts).item(), "rows": study.index.ask(rows).item(),
    })  # fmt: skip


def _counted(facts: dict[str, int]) -> list[list[str]]:
    return [[name, f"{count:,}"] for name, count in facts.items() if count]


def _findings(results: Results) -> list[dict[str, str]]:
    try:
        found = findings(analyse(results.rows))
    except UserError:
        return []
    return [{"code": one.code, "severity": one.severity, "title": one.title, "text": one.sentence} for one in found]


def _models(results: Results) -> list[dict[str, Any]]:
    columns = ("model", "strategy", "family", "seed", "accuracy", "auroc")
    return list(results.models.select(columns).iter_rows(named=True))


def _sets(rows: pl.DataFrame) -> list[dict[str, Any]]:
    known = rows.filter(pl.col("ood").is_not_null()).unique("ood", keep="first", maintain_order=True)
    titles = _distinct(rows, "id")
    first = {"name": ID_SET, "title": titles[0] if titles else ID_SET, "kind": "id", "category": None}
    return [first, *map(_set, known.iter_rows(named=True))]


def _set(row: dict[str, Any]) -> dict[str, Any]:
    return {"name": row["ood"], "title": row["ood"], "kind": row["set_kind"], "category": row["ood_category"]}


def _distinct(rows: pl.DataFrame, column: str) -> list[str]:
    return list(map(str, rows[column].drop_nulls().unique(maintain_order=True)))
