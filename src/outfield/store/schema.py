"""The columns of a result row, and rows made of mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

import polars as pl

from outfield import keys
from outfield.errors import OutfieldError

ROLES = ("test", "curve", "baseline", "group")
SET_KINDS = ("id", "ood", "shift")
HALVES = {"auroc_half_1": slice(0, None, 2), "auroc_half_2": slice(1, None, 2)}
"""Metrics: AUROCs on every second item of both sides; those of different halves have no item in common."""

ID_VALIDATION = "id_validation"
"""Metric: the performance on the ID validation set, by which models are chosen."""
FULL_SPECTRUM = "_full_spectrum"
"""Ending of metrics that set ID and shifted ID inputs together against an OOD set."""

COLUMNS: dict[str, pl.DataType] = {
    "study": pl.String(),
    "run": pl.String(),
    "model": pl.String(),
    "strategy": pl.String(),
    "family": pl.String(),
    "seed": pl.Int64(),
    "step": pl.Int64(),
    "detector": pl.String(),
    "params": pl.String(),
    "tuned": pl.Boolean(),
    "role": pl.String(),
    "task": pl.String(),
    "id": pl.String(),
    "ood": pl.String(),
    "set_kind": pl.String(),
    "part": pl.String(),
    "group": pl.String(),
    "ood_category": pl.String(),
    "shift": pl.String(),
    "severity": pl.Int64(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n_id": pl.Int64(),
    "n_ood": pl.Int64(),
    "seconds": pl.Float64(),
    "passes": pl.Float64(),
    "data_digest": pl.String(),
    "model_digest": pl.String(),
    "outfield": pl.String(),
    "torch": pl.String(),
}
"""Column to its type, in order. Every row has all of them; what does not apply is null.

``params`` is canonical JSON. ``low`` and ``high`` are the ends of the 95% interval. ``seconds`` is what the job took,
``passes`` the passes through the model that one input costs. ``role`` is ``test`` (what is reported), ``curve`` (a
setting that tuning tried), ``baseline`` (the untuned detector beside its tuned self) or ``group`` (the performance
on the items of one group, whose name ``group`` is). ``task`` is null in rows of versions that knew classification."""

SCORE_COLUMNS: dict[str, pl.DataType] = {
    "set": pl.String(),
    "part": pl.String(),
    "row": pl.Int64(),
    "score": pl.Float32(),
}
"""Columns of the scores kept for each sample: data set, part of a pooled set, row in the set, score."""

ADDED = {"task": "VARCHAR", "group": "VARCHAR"}
"""Columns, with their types in SQL, that files of earlier versions do not have: there they are null."""


def absent(present: Iterable[str]) -> str:
    """What to select beside ``*`` of files of earlier versions, so that every column is there.

    Examples
    --------
    >>> absent(["study", "task"]), absent(COLUMNS)
    (', NULL::VARCHAR AS "group"', '')
    """
    there = {*present}
    return "".join(f', NULL::{kind} AS "{name}"' for name, kind in ADDED.items() if name not in there)


NEEDED = ("study", "model", "metric", "value", "role", "set_kind")


def frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of ``COLUMNS``: absent values null, versions filled in, ``params`` as canonical JSON.

    Raises
    ------
    OutfieldError
        A row has a column that the schema has not, lacks one that every row needs, or holds an unknown role or kind.

    Examples
    --------
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> frame([row | {"params": {"b": 1, "a": 2}}]).select("metric", "value", "params", "detector").row(0)
    ('auroc', 0.9, '{"a":2,"b":1}', None)
    """
    filled = [_filled(row) for row in rows]
    made = pl.DataFrame(filled, schema=COLUMNS)
    return made.with_columns(pl.col("value", "low", "high").fill_nan(None))


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    _check(row)
    params = row.get("params")
    text = params if params is None or isinstance(params, str) else keys.canonical(params)
    return {**_versions(), **row, "params": text}


def _check(row: Mapping[str, Any]) -> None:
    if unknown := sorted(set(row) - set(COLUMNS)):
        raise OutfieldError(
            f"Expected columns of the row schema, but got {unknown}. See outfield.store.schema.COLUMNS."
        )
    if missing := [name for name in NEEDED if row.get(name) is None]:
        raise OutfieldError(f"Expected {', '.join(missing)} in every row, but got none in {dict(row)}.")
    if row["role"] not in ROLES or row["set_kind"] not in SET_KINDS:
        raise OutfieldError(
            f"Expected a role of {ROLES} and a set kind of {SET_KINDS}, but got {row['role']!r}, {row['set_kind']!r}."
        )


@cache
def _versions() -> dict[str, str]:
    return {name: _version(name) for name in ("outfield", "torch")}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def scores(table: pl.DataFrame) -> pl.DataFrame:
    """Per-sample scores in the columns of ``SCORE_COLUMNS``; ``part`` may be absent.

    Examples
    --------
    >>> scores(pl.DataFrame({"set": ["test"], "row": [0], "score": [0.5]})).schema["score"]
    Float32
    """
    if missing := sorted({"set", "row", "score"} - set(table.columns)):
        raise OutfieldError(f"Expected the columns set, row and score, but {', '.join(missing)} is not there.")
    absent = [pl.lit(None, kind).alias(name) for name, kind in SCORE_COLUMNS.items() if name not in table.columns]
    return table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in SCORE_COLUMNS.items())
