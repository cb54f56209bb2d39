"""Logs of lm-evaluation-harness: ``samples_TASK_DATE.jsonl``, ``results_DATE.json``, and folders of both.

Read as versions 0.4.0 to 0.4.13 write them (``lm_eval/loggers/evaluation_tracker.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, listed, reading
from outfield.reports.comparison.logs import (
    TEXTS,
    VALUES,
    Log,
    Reading,
    as_score,
    asked,
    by_task,
    clipped,
    ends,
    first_of,
    frame_of,
    json_lines,
    once,
)

KNOWN = frozenset(
    {
        "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
        "prompt_hash", "target_hash", "task_name", "fewshot_context",
    }
)  # fmt: skip
"""What a record holds beside its scores."""


def are_samples(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of ``--log_samples``.

    Examples
    --------
    >>> are_samples({"doc_id": 0, "doc": {}, "filtered_resps": [], "acc": 1.0}), are_samples({"id": 0, "correct": 1})
    (True, False)
    """
    return "doc_id" in record and bool({"filtered_resps", "resps", "metrics", "doc_hash"} & set(record))


def are_results(content: Any) -> bool:
    """Whether parsed JSON is what the harness writes beside its samples.

    Examples
    --------
    >>> are_results({"results": {"arc_easy": {"acc,none": 0.5}}, "versions": {}})
    True
    """
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return False
    return bool({"versions", "config", "configs", "n-shot"} & set(content))


def samples(records: Sequence[Mapping[str, Any]], path: Path, how: Reading) -> Log:
    """A file of samples: an item a document; several filters make several measures."""
    task = by_task(path)
    rows, dropped = _rows(records, task, how, path)
    model = path.parent.name if path.name.startswith("samples_") and path.parent.name else path.stem
    return Log(model, once(frame_of(rows), path), notes=tuple(dropped), story=_story(path, "samples"))


def _rows(
    records: Sequence[Mapping[str, Any]], task: str, how: Reading, path: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    filters = dict.fromkeys(str(record.get("filter", "none")) for record in records)
    named = dict.fromkeys(name for record in records for name in _measures(record))
    metrics = asked(list(dict.fromkeys(_called(name, one) for one in filters for name in named)), how, path)
    rows: list[dict[str, Any]] = []
    lacking: dict[str, int] = {}
    for record in records:
        common = _common(record, task, how, path)
        for name in named:
            metric, score = _called(name, str(record.get("filter", "none"))), as_score(record.get(name))
            if metric in metrics and score is not None:
                rows.append(common | {"metric": metric, "score": score})
            elif metric in metrics:
                lacking[metric] = lacking.get(metric, 0) + 1
    if not rows:
        raise UserError(
            f"Expected scores that are numbers in {path}, but its records have none (measures: "
            f"{listed(list(named)) or 'none'}). Log a task that scores single documents."
        )
    return rows, [f"{task}: {count} records have no number as {name}." for name, count in lacking.items()]


def _measures(record: Mapping[str, Any]) -> list[str]:
    """The names of a record's scores: those that it lists, of older versions whatever else is a number."""
    if isinstance(stated := record.get("metrics"), list):
        return [str(name) for name in stated]
    return [name for name, value in record.items() if name not in KNOWN and as_score(value) is not None]


def _called(metric: str, filter: str) -> str:
    return metric if filter == "none" else f"{metric},{filter}"


def _common(record: Mapping[str, Any], task: str, how: Reading, path: Path) -> dict[str, Any]:
    doc = record.get("doc") if isinstance(record.get("doc"), dict) else {}
    assert isinstance(doc, dict)
    held = {**doc, **record}
    for option, column in (("--id", how.id), ("--group", how.group)):
        if column is not None and column not in held:
            raise UserError(
                f"Expected {option} to name what records of {path} or their doc hold, but there is no {column!r}. "
                f"There is: {listed(sorted(held), most=12)}."
            )
    return {
        "set": task, "item": str(held[how.id or "doc_id"]), "content": record.get("doc_hash"),
        "cluster": None if how.group is None else str(held[how.group]),
        "text": clipped(first_of(doc, TEXTS) or _prompt(record)), "answer": clipped(record.get("filtered_resps")),
        "target": clipped(record.get("target")),
    }  # fmt: skip


def _prompt(record: Mapping[str, Any]) -> Any:
    """The first argument of the first request: the prompt."""
    found = record.get("arguments")
    while isinstance(found, (dict, list)) and found:
        found = next(iter(found.values())) if isinstance(found, dict) else found[0]
    return found if isinstance(found, str) else None


def results(content: Mapping[str, Any], path: Path, how: Reading) -> Log:
    """The means that the harness writes, with its standard errors; of its samples where the file holds them."""
    story = _story(path, "results") | _version(content)
    if samples := content.get("samples"):
        if not isinstance(samples, dict):
            raise UserError(f"Expected samples by task in {path}, but got a {type(samples).__name__}. Log them again.")
        found = [_rows(records, str(task), how, path) for task, records in samples.items()]
        rows = [row for own, _ in found for row in own]
        notes = tuple(note for _, own in found for note in own)
        return Log(
            _model(content, path), once(frame_of(rows), path), higher=_directions(content), notes=notes, story=story
        )
    rows = list(_values(content, path))
    if how.group or how.id:
        raise UserError(
            f"Expected single items for --id and --group, but {path} holds means alone. Name the samples_*.jsonl "
            "files, which --log_samples writes."
        )
    kept = asked(list(dict.fromkeys(row["metric"] for row in rows)), how, path)
    table = pl.DataFrame([row for row in rows if row["metric"] in kept], schema=VALUES)
    return Log(_model(content, path), values=table, higher=_directions(content), story=story)


def _values(content: Mapping[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    groups = {name for name, members in (content.get("group_subtasks") or {}).items() if members}
    for task, measured in content["results"].items():
        if task in groups:
            continue
        if not isinstance(measured, dict):
            raise UserError(
                f"Expected measures of {task} in {path}, but got {measured!r:.40}. Write the results again."
            )
        counts = (content.get("n-samples") or {}).get(task) or {}
        for name, value in measured.items():
            metric, _, filter = name.partition(",")
            score = as_score(value)
            if name == "alias" or "_stderr" in metric or score is None or isinstance(value, str):
                continue
            error = as_score(measured.get(f"{metric}_stderr,{filter}" if filter else f"{metric}_stderr"))
            common = {"set": str(task), "metric": _called(metric, filter or "none"), "value": score}
            n = counts.get("effective") if isinstance(counts, dict) else None
            yield common | ends(score, error) | {"n": n}


def _directions(content: Mapping[str, Any]) -> dict[str, bool]:
    """Measures to whether more is better; none of those that tasks disagree on."""
    found: dict[str, set[bool]] = {}
    for measures in (content.get("higher_is_better") or {}).values():
        for metric, flag in measures.items() if isinstance(measures, dict) else ():
            if isinstance(flag, bool):
                found.setdefault(metric, set()).add(flag)
    return {metric: flags.pop() for metric, flags in found.items() if len(flags) == 1}


def _model(content: Mapping[str, Any], path: Path) -> str:
    config = content.get("config") or {}
    arguments = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    named = content.get("model_name") or (arguments or {}).get("pretrained")
    return str(named or path.stem)


def _version(content: Mapping[str, Any]) -> dict[str, str]:
    stated = {"version": content.get("lm_eval_version"), "commit": content.get("git_hash"), "date": content.get("date")}
    return {name: str(value) for name, value in stated.items() if value is not None}


def _story(path: Path, what: str) -> dict[str, str]:
    return {"file": path.name, "kind": f"lm-evaluation-harness, {what}"}


def folder(path: Path, how: Reading) -> Log:
    """A folder that the harness wrote for one model: all its samples, or its results where there are none.

    Raises
    ------
    UserError
        It holds neither, or several runs of a task.
    """
    files = sorted(path.glob("samples_*.jsonl"))
    written = sorted(path.glob("results*.json"))
    if twice := sorted({by_task(one) for one in files if sum(by_task(one) == by_task(two) for two in files) > 1}):
        raise UserError(f"Expected one run of each task in {path}, but {listed(twice)} has several. Name the files.")
    if not files and len(written) != 1:
        got = f"{len(written)} files results_*.json" if written else "neither samples_*.jsonl nor results_*.json"
        raise UserError(
            f"Expected a study, or a folder of one run of lm-evaluation-harness, but {path} holds {got}. "
            "Name a folder or file of one model."
        )
    if not files:
        return results(_content(written[0]), written[0], how)
    parts = [samples(json_lines(one), one, how) for one in files]
    about = _content(written[0]) if len(written) == 1 else {}
    return Log(
        _model(about, path) if about else path.name,
        pl.concat(one.items for one in parts),
        higher=_directions(about),
        notes=tuple(note for one in parts for note in one.notes),
        story=_story(path, f"{len(files)} tasks") | _version(about),
    )


def _content(path: Path) -> dict[str, Any]:
    with reading(path, "results of lm-evaluation-harness", "Write it again."):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not are_results(content):
        raise UserError(f"Expected results of lm-evaluation-harness at {path}, but got other JSON. Name another file.")
    return content  # type: ignore[no-any-return]  # a mapping, as are_results says
