"""Logs of Inspect, as ``.json`` or ``.eval`` (version 1 and 2 of its log schema)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, listed, reading
from outfield.reports.comparison.logs import (
    VALUES,
    Log,
    Reading,
    as_score,
    asked,
    clipped,
    ends,
    frame_of,
)

VERSIONS = (1, 2)
GRADES = frozenset("CIPN")
"""Inspect's words: correct, incorrect, partially correct, no answer."""


def is_log(content: Any) -> bool:
    """Whether parsed JSON is a log of Inspect.

    Examples
    --------
    >>> is_log({"version": 2, "status": "success", "eval": {"task": "arc"}})
    True
    """
    return isinstance(content, dict) and isinstance(content.get("eval"), dict) and "status" in content


def read(path: Path, how: Reading) -> Log:
    """A log as ``.eval``: a ZIP file with a header and a file a sample."""
    with reading(path, "a log of Inspect", "Write it as JSON: inspect log convert --to json"):
        with zipfile.ZipFile(path) as held:
            names = held.namelist()
            if "header.json" not in names:
                raise UserError(
                    f"Expected a finished log of Inspect at {path}, but it has no header. Run it to the end."
                )
            content = json.loads(held.read("header.json"))
            content["samples"] = [json.loads(held.read(name)) for name in names if _is_sample(name)]
        return of_json(content, path, how)


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def of_json(content: Mapping[str, Any], path: Path, how: Reading) -> Log:
    """A log from its JSON: the scores of items, the mean of an item's epochs; means alone where it has no samples.

    Raises
    ------
    UserError
        It is of another version, has no scores, or a column that is named is not there.
    """
    if content.get("version", 1) not in VERSIONS:
        raise UserError(
            f"Expected a log of Inspect of version 1 or 2 at {path}, but got version {content['version']}. "
            "Convert it with your version of Inspect: inspect log convert --to json"
        )
    about = content["eval"]
    story = {
        "file": path.name,
        "kind": "Inspect log",
        "task": str(about.get("task")),
        "date": str(about.get("created")),
    }
    notes = [] if content["status"] == "success" else [f"{path.name}: the run ended with status {content['status']}."]
    model, task = str(about.get("model") or path.stem), str(about.get("task") or "task")
    samples = content.get("samples") or []
    if not samples:
        values = list(_means(content, task))
        if not values:
            raise UserError(
                f"Expected scores in {path}, but it has neither samples nor results. Run the evaluation first."
            )
        kept = asked(list(dict.fromkeys(row["metric"] for row in values)), how, path)
        table = pl.DataFrame([row for row in values if row["metric"] in kept], schema=VALUES)
        return Log(model, values=table, notes=tuple(notes), story=story)
    rows, unscored = _rows(samples, task, how, path)
    if not rows:
        raise UserError(f"Expected scores of samples in {path}, but none is scored. Score the log: inspect score LOG")
    if unscored:
        notes.append(f"{path.name}: {unscored} scores are missing or no numbers.")
    kept = asked(list(dict.fromkeys(row["metric"] for row in rows)), how, path)
    higher = {row["metric"]: True for row in rows if row["graded"]}
    table = frame_of([row for row in rows if row["metric"] in kept])
    epochs = len({sample.get("epoch", 1) for sample in samples})
    if epochs > 1:
        notes.append(f"{path.name}: {epochs} epochs of an item are one item with its mean score.")
    return Log(model, _one_an_item(table), higher=higher, notes=tuple(notes), story=story)


def _one_an_item(rows: pl.DataFrame) -> pl.DataFrame:
    others = [name for name in rows.columns if name not in ("set", "metric", "item", "score")]
    found = rows.group_by("set", "metric", "item", maintain_order=True).agg(
        pl.col(others).first(), pl.col("score").mean()
    )
    return found.select(rows.columns)


def _rows(samples: list[dict[str, Any]], task: str, how: Reading, path: Path) -> tuple[list[dict[str, Any]], int]:
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()
    unscored = 0
    for sample in samples:
        metadata = sample.get("metadata") or {}
        item = str(sample["id"] if how.id is None else _of(metadata, how.id, "--id", path))
        if (key := (item, sample.get("epoch", 1))) in seen:
            raise UserError(
                f"Expected each sample and epoch once in {path}, but {item} stands there twice. Mend the log."
            )
        seen.add(key)
        text = clipped(_asked(sample.get("input")))
        common = {
            "set": task, "item": item, "text": text, "content": text,
            "cluster": None if how.group is None else str(_of(metadata, how.group, "--group", path)),
            "target": clipped(sample.get("target")),
        }  # fmt: skip
        scores = sample.get("scores") or ({"score": sample["score"]} if sample.get("score") else {})
        for name, score in scores.items():
            for metric, value in _values(str(name), score.get("value")):
                number = as_score(value)
                if number is None:
                    unscored += 1
                else:
                    graded = isinstance(value, bool) or value in GRADES
                    rows.append(
                        common
                        | {"metric": metric, "score": number, "answer": clipped(score.get("answer")), "graded": graded}
                    )
    return rows, unscored


def _of(metadata: Mapping[str, Any], column: str, option: str, path: Path) -> Any:
    if column not in metadata:
        raise UserError(
            f"Expected {option} to name what the metadata of samples in {path} hold, but there is no {column!r}. "
            f"There is: {listed(sorted(metadata)) or 'nothing'}."
        )
    return metadata[column]


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The measures of a score: one, or one for each key of a mapping."""
    if isinstance(value, dict):
        yield from ((f"{name}/{key}", each) for key, each in value.items())
    else:
        yield name, value


def _asked(given: Any) -> Any:
    """The text of a sample's input: itself, or what users say in it."""
    if not isinstance(given, list):
        return given
    return [message.get("content") for message in given if isinstance(message, dict) and message.get("role") == "user"]


def _means(content: Mapping[str, Any], task: str) -> Iterator[dict[str, Any]]:
    found = content.get("results") or {}
    for score in found.get("scores") or []:
        metrics = score.get("metrics") or {}
        error = as_score((metrics.get("stderr") or {}).get("value"))
        for name, metric in metrics.items():
            if name not in ("stderr", "std", "var") and (value := as_score(metric.get("value"))) is not None:
                own = error if name in ("accuracy", "mean") else None
                common = {"set": task, "metric": name, "value": value, "n": found.get("completed_samples")}
                yield common | ends(value, own)
