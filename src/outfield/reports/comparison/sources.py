"""What a path holds: a log of a known kind, read by the module of its kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from outfield.errors import UserError, reading
from outfield.reports.comparison import harness, inspect_logs, item_tables
from outfield.reports.comparison.logs import Log, Reading, json_lines


def are_logs(path: Path) -> bool:
    """Whether a folder holds what lm-evaluation-harness writes."""
    return path.is_dir() and any(any(path.glob(pattern)) for pattern in ("samples_*.jsonl", "results_*.json"))


def read(path: Path, how: Reading) -> Log:
    """A log of any known kind: a file, or a folder of lm-evaluation-harness.

    Raises
    ------
    UserError
        It is none, is damaged, or lacks what is asked for.
    """
    if path.is_dir():
        return harness.folder(path, how)
    if not path.exists():
        raise UserError(f"Expected a log, but there is no file {path}. Name a file that is there.")
    kinds: dict[str, Callable[[Path, Reading], Log]] = {".eval": inspect_logs.read, ".jsonl": _lines, ".json": _json}
    return kinds.get(path.suffix.lower(), item_tables.read)(path, how)


def _lines(path: Path, how: Reading) -> Log:
    records = json_lines(path)
    if harness.are_samples(records[0]):
        return harness.samples(records, path, how)
    return item_tables.of_records(records, path, how)


def _json(path: Path, how: Reading) -> Log:
    with reading(path, "a log as JSON", "Write it again."):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    if inspect_logs.is_log(content):
        return inspect_logs.of_json(content, path, how)
    if harness.are_results(content):
        return harness.results(content, path, how)
    if isinstance(content, list) and content and all(isinstance(record, dict) for record in content):
        return item_tables.of_records(content, path, how)
    raise UserError(
        f"Expected a log of Inspect, results of lm-evaluation-harness, a card, or a list of items at {path}, but it is "
        "none of these. Write a table with an item a row: id, correct."
    )
