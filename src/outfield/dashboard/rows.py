"""The rows themselves, a page at a time: filtered, sorted and cut by the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from outfield.dashboard import replies
from outfield.dashboard.query_parameters import Rows, Sorted
from outfield.dashboard.studies import Study, Unknown
from outfield.store.query import quoted
from outfield.store.schema import COLUMNS

SHOWN = (
    *("model", "strategy", "family", "seed", "step", "detector", "tuned", "role", "ood", "set_kind", "part"),
    *("ood_category", "shift", "severity", "metric", "value", "low", "high", "n_id", "n_ood", "seconds", "passes"),
)
"""Columns of the table; the file to save has all of them."""


def page(study: Study, asked: Rows) -> dict[str, Any]:
    """Some rows of a study, and how many there are."""
    where, values = _where(study, asked)
    total = study.once(("count", where, *values), lambda: _count(study, where, values))
    table = study.index.ask(
        f"SELECT {', '.join(SHOWN)} FROM rows WHERE {where} {_order(asked)} LIMIT ? OFFSET ?",
        [*values, asked.size, asked.start],
    )
    rows = [list(row) for row in table.iter_rows()]
    return {
        "total": total,
        "page": asked.page,
        "size": asked.size,
        "columns": replies.columns(table),
        "metrics": study.once("metrics", lambda: _metrics(study)),
        "rows": rows,
    }


def every(study: Study, asked: Sorted) -> Iterator[pl.DataFrame]:
    """All of them, in pieces, with all columns."""
    where, values = _where(study, asked)
    return study.index.pieces(
        f"SELECT {', '.join(map(quoted, COLUMNS))} FROM rows WHERE {where} {_order(asked)}", values
    )


def _where(study: Study, asked: Sorted) -> tuple[str, list[Any]]:
    where, values = asked.of(study).where()
    return (f"{where} AND metric = ?", [*values, asked.metric]) if asked.metric else (where, values)


def _metrics(study: Study) -> list[str]:
    return study.index.ask("SELECT DISTINCT metric FROM rows ORDER BY metric")["metric"].to_list()


def _count(study: Study, where: str, values: list[Any]) -> int:
    return int(study.index.ask(f"SELECT count(*) FROM rows WHERE {where}", values).item())


def _order(asked: Sorted) -> str:
    if not asked.sort:
        return ""
    if asked.sort not in COLUMNS:
        raise Unknown(f"Expected a column to sort by, but got {asked.sort!r}. Choose one of {', '.join(SHOWN)}.")
    return f"ORDER BY {quoted(asked.sort)} {'DESC' if asked.descending else 'ASC'} NULLS LAST, rowid"
