"""Answers as JSON and CSV: no NaN in JSON, numbers of the store in full in CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl
from starlette.responses import JSONResponse, StreamingResponse

from outfield.reports.html import nan_as_none
from outfield.store.spreadsheet import without_formulas


class Json(JSONResponse):
    """JSON in UTF-8; NaN and infinity, which JSON has not, are null."""

    def render(self, content: Any) -> bytes:
        try:
            return _dumped(content)
        except ValueError:
            return _dumped(nan_as_none(content))


def _dumped(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def columns(table: pl.DataFrame, headings: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Names and headings of a table's columns, and whether they hold numbers."""
    named, types = headings or {name: name.replace("_", " ") for name in table.columns}, table.schema
    return [{"name": name, "title": heading, "numeric": types[name].is_numeric()} for name, heading in named.items()]


def csv(pieces: Iterable[pl.DataFrame], name: str, header: Sequence[str] = ()) -> StreamingResponse:
    """A table as a file to save, piece by piece; every number so that it reads back as it was, no text a formula.

    Where there is no piece the file has the ``header`` alone.
    """
    safe = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(pieces, header), media_type="text/csv; charset=utf-8", headers=headers)


def _lines(pieces: Iterable[pl.DataFrame], header: Sequence[str]) -> Iterator[str]:
    number = -1
    for number, piece in enumerate(pieces):
        yield without_formulas(piece).write_csv(include_header=number == 0)
    if number < 0:
        yield pl.DataFrame(schema=list(header)).write_csv()
