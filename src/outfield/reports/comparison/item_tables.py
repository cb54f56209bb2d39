"""Tables with a row an item: CSV, Parquet or JSONL with a column of names and columns of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outfield.errors import UserError, listed
from outfield.reports.comparison.logs import (
    ANSWERS,
    CLUSTERS,
    IDS,
    SETS,
    TARGETS,
    TEXTS,
    Log,
    Reading,
    as_score,
    asked,
    clipped,
    first_of,
    frame_of,
    once,
)
from outfield.stats.frames import as_frame
from outfield.tables.directions import higher_is_better

FRAME = Path("the table")
"""What a table in memory is called."""


def read(path: Path, how: Reading) -> Log:
    """A table of items."""
    return of_records(as_frame(path).to_dicts(), path, how)


def of_records(records: Sequence[Mapping[str, Any]], path: Path, how: Reading) -> Log:
    """Items from records.

    Raises
    ------
    UserError
        No column holds scores, an item stands there twice, or a column that is named is not there.
    """
    columns = list(dict.fromkeys(name for record in records for name in record))
    if not records:
        raise UserError(f"Expected a row an item in {path}, but it has none. Write the table again.")
    id = _column(columns, how.id, IDS, "--id", path)
    group = _column(columns, how.group, CLUSTERS, "--group", path)
    of_set = _column(columns, how.set, SETS, "--set", path)
    taken = {id, group, of_set}
    scored = [
        name for name in columns
        if name not in taken and name not in (*TEXTS, *TARGETS) and _scores(records, name)
    ]  # fmt: skip
    known = [name for name in scored if higher_is_better(name) is not None]
    metrics = list(how.metrics) or known or [name for name in scored if name not in ANSWERS]
    if not scored or not metrics:
        raise UserError(
            f"Expected a column of scores (correct, say) in {path}, but none of {listed(columns)} holds numbers or "
            "right and wrong. Name one with --metric."
        )
    metrics = asked(scored, Reading(metrics=tuple(metrics)), path)
    rows, lacking = [], dict.fromkeys(metrics, 0)
    for number, record in enumerate(records):
        item = number if id is None else record.get(id)
        if item is None:
            raise UserError(
                f"Expected a name in the column {id} of every row of {path}, but row {number + 1} has none."
            )
        common = {
            "set": "items" if of_set is None else str(record.get(of_set)), "item": str(item),
            "cluster": None if group is None else str(record.get(group)),
            "text": clipped(first_of(record, TEXTS)), "target": clipped(first_of(record, TARGETS)),
            "content": clipped(first_of(record, TEXTS)) or None,
            "answer": clipped(first_of(record, [name for name in ANSWERS if name not in metrics])),
        }  # fmt: skip
        for name in metrics:
            if (score := as_score(record.get(name))) is None:
                lacking[name] += 1
            else:
                rows.append(common | {"metric": name, "score": score})
    notes = [f"{path.name}: {count} rows have no {name}." for name, count in lacking.items() if count]
    if id is None:
        notes.append(f"{path.name} has no column of ids: items are paired by the number of their row.")
    if group is not None and how.group is None:
        notes.append(f"{path.name}: items are clustered by the column {group}.")
    story = {"file": path.name, "kind": "table of items"}
    return Log(path.stem, once(frame_of(rows), path), notes=tuple(notes), story=story)


def _column(columns: Sequence[str], stated: str | None, names: Sequence[str], option: str, path: Path) -> str | None:
    if stated is not None and stated not in columns:
        raise UserError(f"Expected a column after {option}, but {path} has no {stated!r}. It has {listed(columns)}.")
    plain = {name.lower(): name for name in columns}
    return stated or next((plain[name] for name in names if name in plain), None)


def _scores(records: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column holds scores: numbers, truth values, words for right and wrong, and no other words."""
    values = [record[name] for record in records if record.get(name) not in (None, "")]
    return bool(values) and all(as_score(value) is not None for value in values[:1000])
