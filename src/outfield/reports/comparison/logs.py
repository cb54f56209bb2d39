"""Logs of evaluations: the score of every item of a model, or means with their standard errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from scipy import stats

from outfield.errors import UserError, listed, reading

ITEMS = {
    "set": pl.String, "metric": pl.String, "item": pl.String, "cluster": pl.String, "content": pl.String,
    "score": pl.Float64, "text": pl.String, "answer": pl.String, "target": pl.String,
}  # fmt: skip
"""Columns of the scores of single items. ``content`` tells whether two items of one name are the same."""
VALUES = {
    "set": pl.String, "metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64,
}  # fmt: skip
"""Columns of means of whole sets, with the ends of their 95% intervals."""
Z = float(stats.norm.ppf(0.975))
LONGEST = 600
"""Letters of a text, and of an answer, that are kept to be shown."""
IDS = (
    "id", "item", "item_id", "sample_id", "doc_id", "question_id", "example_id", "instance_id", "task_id", "uid", "key",
    "idx", "index",
)  # fmt: skip
CLUSTERS = ("group", "cluster", "document", "document_id", "passage", "passage_id", "prompt_id", "context_id")
SETS = ("set", "task", "dataset", "benchmark", "subset")
TEXTS = ("input", "question", "prompt", "text", "query", "sentence", "problem", "goal", "ctx", "context", "premise")
ANSWERS = ("answer", "prediction", "pred", "output", "response", "said")
TARGETS = ("target", "label", "gold", "expected", "reference")


@dataclass(frozen=True)
class Reading:
    """What a user says of logs whose columns do not tell.

    Parameters
    ----------
    id, group, set : str, optional
        Column of what an item is called, of what it belongs to (a document, a prompt), of the set it is of.
    metrics : tuple of str
        The scores to compare; by default all whose direction is known. Of rows of a table, the columns.
    measure : str, optional
        What every column of a table holds, where columns are named after sets: ``accuracy``.
    items : int, optional
        On how many items shares in a table rest: their intervals are then Wilson's.

    Examples
    --------
    >>> Reading(group="document").group
    'document'
    """

    id: str | None = None
    group: str | None = None
    set: str | None = None
    metrics: tuple[str, ...] = ()
    measure: str | None = None
    items: int | None = None


@dataclass(frozen=True, eq=False)
class Log:
    """What is known of one model: the scores of items, means of sets, directions of measures.

    Parameters
    ----------
    model : str
    items, values : frame
        In the columns of ``ITEMS`` and ``VALUES``.
    higher : mapping of str to bool
        Measures of which the log says whether more is better.
    notes : tuple of str
        What was left out or assumed.
    story : mapping
        Where it comes from.

    Examples
    --------
    >>> Log("a", values=pl.DataFrame([("arc", "acc", 0.5, 0.48, 0.52, 2500)], schema=VALUES, orient="row")).model
    'a'
    """

    model: str
    items: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ITEMS))
    values: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VALUES))
    higher: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    story: Mapping[str, str] = field(default_factory=dict)


def ends(value: float, error: float | None) -> dict[str, float | None]:
    """The ends of a 95% interval from a standard error; none where it is not known.

    Examples
    --------
    >>> ends(0.5, None), round(ends(0.5, 0.01)["high"], 4)
    ({'low': None, 'high': None}, 0.5196)
    """
    half = None if error is None else Z * error
    return {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}


def clipped(value: object) -> str:
    """A value as a short text.

    Examples
    --------
    >>> clipped(None), clipped(["A", "B"]), len(clipped("x" * 5000))
    ('', 'A / B', 600)
    """
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = " / ".join(map(clipped, value))
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of some names that a record has; None where it has none.

    Examples
    --------
    >>> first_of({"query": "Why?"}, TEXTS)
    'Why?'
    """
    return next((record[name] for name in names if record.get(name) is not None), None)


WORDS = {
    "c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0, "correct": 1.0, "incorrect": 0.0, "right": 1.0, "wrong": 0.0, "true": 1.0,
    "false": 0.0, "yes": 1.0, "no": 0.0, "pass": 1.0, "fail": 0.0, "passed": 1.0, "failed": 0.0,
}  # fmt: skip
"""Scores in words. C, I, P and N are Inspect's: correct, incorrect, partially, no answer."""


def as_score(value: Any) -> float | None:
    """A score as a number: a number, a truth value, or a word; None where it is none of these, or not finite.

    Examples
    --------
    >>> as_score(True), as_score("I"), as_score("0.5"), as_score([1, 2]), as_score(float("nan"))
    (1.0, 0.0, 0.5, None, None)
    """
    if isinstance(value, str):
        value = WORDS.get(value.strip().lower(), value)
    if not isinstance(value, (bool, int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number - number == 0 else None


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file.

    Raises
    ------
    UserError
        A line is no JSON object: it is named by its number.
    """
    found = []
    with reading(path, "JSON, an object a line", "Save it as UTF-8."):
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"Expected a JSON object in each line of {path}, but line {number} is damaged ({error.msg} at letter "
                f"{error.colno}). Mend that line, or write the log again."
            ) from None
        if not isinstance(record, dict):
            raise UserError(
                f"Expected a JSON object in each line of {path}, but line {number} holds a {type(record).__name__}. "
                "Write an object an item."
            )
        found.append(record)
    if not found:
        raise UserError(f"Expected a record an item in {path}, but it is empty. Write the log again.")
    return found


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of ``ITEMS``; what a row lacks is null."""
    return pl.DataFrame([{name: row.get(name) for name in ITEMS} for row in rows], schema=ITEMS)


def once(items: pl.DataFrame, what: object) -> pl.DataFrame:
    """The items, each once.

    Raises
    ------
    UserError
        An item has several scores of one measure.
    """
    key = ["set", "metric", "item"]
    twice = items.filter(pl.struct(key).is_duplicated())
    if twice.is_empty():
        return items
    names = twice["item"].unique(maintain_order=True)
    raise UserError(
        f"Expected each item once in {what}, but {listed(names.to_list())} {'stands' if len(names) == 1 else 'stand'} "
        f"there several times ({twice['set'][0]}, {twice['metric'][0]}). Leave all but one out, or name the column "
        "that tells them apart with --id."
    )


def asked(found: Sequence[str], how: Reading, what: object) -> list[str]:
    """The measures to compare among those found.

    Raises
    ------
    UserError
        One that is asked for is not there.
    """
    if absent := [name for name in how.metrics if name not in found]:
        raise UserError(
            f"Expected the measure {', '.join(absent)} in {what}, but it has {listed(list(found))}. Name one of these."
        )
    return [name for name in found if not how.metrics or name in how.metrics]


def by_task(path: Path) -> str:
    """The task that a samples file of lm-evaluation-harness is named after.

    Examples
    --------
    >>> by_task(Path("samples_arc_easy_2026-01-31T10-00-00.123456.jsonl")), by_task(Path("mine.jsonl"))
    ('arc_easy', 'mine')
    """
    named = re.fullmatch(r"samples_(.+?)(_\d{4}-\d{2}-\d{2}T[\d.\-]+)?", path.stem)
    return named[1] if named else path.stem
