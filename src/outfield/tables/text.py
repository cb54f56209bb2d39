"""A file as a table: encodings, separators, decimal commas and headers as the world writes them."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, listed, reading
from outfield.stats.frames import as_frame
from outfield.tables.markup import BETWEEN, in_text, unmarked

SEPARATORS = ",;\t|"
WRITTEN = frozenset({".csv", ".tsv", ".txt", *BETWEEN})
"""Endings of tables that are written as lines of cells."""
NESTED = frozenset({".json", ".jsonl"})
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
ALIGNED = re.compile(r" {2,}|\t+")
"""What stands between the cells of a table that is aligned by blanks."""
RULE = re.compile(r":?-{2,}:?")
"""A cell of the line below the header of a Markdown table."""
NUMBER = re.compile(r"[-+−]?(\d+\.?\d*|\.\d+)%?")  # noqa: RUF001  # the minus of typesetters
COMMA = re.compile(r"[^A-Za-z]*\d,\d[^A-Za-z]*")
DECIMAL = re.compile(r"(?<=\d),(?=\d)")

Ignored = tuple[str, str, str]
"""What was left out (row, column), its name, and why."""
Line = tuple[int, list[str]]
"""The number of a line in its file, and its cells."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table as it was read.

    Parameters
    ----------
    frame : frame
    notes : tuple of str
        What was repaired.
    ignored : tuple of (what, name, why)
        Rows and columns that hold no data.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()


def sheet(path: Path | str) -> Sheet:
    """The table of a CSV (separated by comma, semicolon, tab, bar or blanks), Markdown, LaTeX, JSON or Parquet file.

    UTF-8 and UTF-16 are told apart, other text is read as Windows-1252 and noted. Comments, titles, blank rows,
    repeated headers and empty columns are left out, a header of two lines is joined, decimal commas become points, and
    the markup of HTML, Markdown and LaTeX goes.

    Raises
    ------
    UserError
        The file is not there or empty, cannot be read, or a row has more cells than the header.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = file.write_text("model;acc\\na;88,30\\n;\\nb;77,25\\n")
    >>> found = sheet(file)
    >>> found.frame.rows(), found.notes
    ([('a', 88.3), ('b', 77.25)], ('Read decimal commas as points.',))
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not path.is_file() or ending not in WRITTEN | NESTED:
        return Sheet(as_frame(path))
    with reading(path, "a table", "Check its quotes and separators, or save it anew as CSV."):
        text, notes = decoded(path.read_bytes())
        if not text.strip():
            raise UserError(f"Expected a table at {path}, but the file is empty. Pass a file with a header and rows.")
        found = _written(text, path.name) if ending in WRITTEN else Sheet(_records(text, ending, path.name))
    return Sheet(found.frame, (*notes, *found.notes), found.ignored)


def decoded(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file by its byte-order mark, else UTF-8, else Windows-1252, which is noted.

    Examples
    --------
    >>> decoded("Grün".encode("utf-16"))
    ('Grün', ())
    >>> decoded("Grün".encode("latin-1"))[1]
    ('The text is not in UTF-8: read as Windows-1252. Check names with accents.',)
    """
    marked = next((name for mark, name in MARKS if raw.startswith(mark)), None)
    if marked is None and raw[:1000].count(0) > len(raw[:1000]) // 4:
        marked = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    try:
        return raw.decode(marked or "utf-8"), ()
    except UnicodeDecodeError:
        if marked:
            raise
    said = "The text is not in UTF-8: read as Windows-1252. Check names with accents."
    return raw.decode("cp1252", errors="replace"), (said,)


def separator(text: str) -> str:
    """The separator by which most of the first lines have one number of cells.

    Examples
    --------
    >>> separator("model;acc\\na;88,30\\nb;77,25\\n")
    ';'
    """
    lines = [line for line in islice(io.StringIO(text), 200) if line.strip() and not line.startswith("#")]
    return max(SEPARATORS, key=lambda each: _agreement(lines, each))


def _agreement(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """The share of lines with the most common number of cells, and that number; 0 where it is one cell."""
    lengths = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter))
    cells, count = max(lengths.items(), key=lambda each: each[1], default=(1, 0))
    return (count / len(lines), cells) if cells > 1 else (0.0, 0)


def _written(text: str, name: str) -> Sheet:
    ending = Path(name).suffix.lower()
    lines, beside = in_text(text, BETWEEN[ending], name) if ending in BETWEEN else (_separated(text, ending), [])
    comma = ending == ".csv" and separator(text) == ","
    lines, ignored = _without_remarks([(number, [unmarked(cell) for cell in cells]) for number, cells in lines])
    header, body, notes = _header(lines)
    header, body = _without_empty_columns(header, body)
    rows, left = _whole(header, body, name)
    rows, said = _decimal_points(rows) if not comma else (rows, ())
    return Sheet(_typed(header, rows), (*notes, *said), (*beside, *ignored, *left))


def _separated(text: str, ending: str) -> list[Line]:
    """The cells of each line, with its number; two blanks or more are a separator where there is no other."""
    delimiter = separator(text)
    if ending == ".txt" and not any(delimiter in line for line in text.splitlines()):
        return [(number, ALIGNED.split(line.strip())) for number, line in enumerate(text.splitlines(), 1)]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    return [(reader.line_num, cells) for cells in reader]


def _without_remarks(lines: Sequence[Line]) -> tuple[list[Line], list[Ignored]]:
    """The lines of the table: no blank ones, comments, titles above the header, or rules of Markdown."""
    filled = [line for line in lines if any(line[1])]
    ignored = (
        [("row", f"{len(lines) - len(filled)} blank rows", "no cell is filled")] if len(filled) < len(lines) else []
    )
    width = max(Counter(len(cells) for _, cells in filled).items(), key=lambda each: each[1], default=(0, 0))[0]
    kept: list[Line] = []
    for place, (number, cells) in enumerate(filled):
        if why := _remark(cells, width, first=not kept, after=filled[place + 1 : place + 2]):
            ignored.append(("row", f"line {number}: {' '.join(filter(None, cells))[:60]}", why))
        elif not all(RULE.fullmatch(cell) for cell in cells if cell):
            kept.append((number, [cells[0].lstrip("# "), *cells[1:]] if not kept and len(cells[0]) > 1 else cells))
    return kept, ignored


def _remark(cells: Sequence[str], width: int, *, first: bool, after: Sequence[Line]) -> str:
    """Why a line is no row of the table; empty where it is one."""
    if first and width > 1 and cells[0] and not any(cells[1:]) and not _numeric(cells):
        return "a title above the header"
    if not cells[0].startswith("#") or cells[0] == "#":
        return ""
    heads = first and len(cells) == width and bool(after) and _numeric(after[0][1])
    return "" if heads else "a comment"


def _numeric(cells: Iterable[str]) -> bool:
    return any(NUMBER.match(cell) for cell in cells)


def _header(lines: Sequence[Line]) -> tuple[list[str], list[Line], tuple[str, ...]]:
    """The names of columns, the rows below them, and what was joined or left out."""
    if not lines:
        return [], [], ()
    (_, first), body = lines[0], list(lines[1:])
    names, notes = list(first), []
    if len(body) > 1 and _in_two_lines(first, body[0][1], body[1][1]):
        names = _joined(first, body.pop(0)[1])
        notes.append(f"The header has two lines: joined as {listed([name for name in names if name])}.")
    rows = [line for line in body if line[1] != first]
    if len(rows) < len(body):
        notes.append(f"Left out {len(body) - len(rows)} rows that repeat the header.")
    return names, rows, tuple(notes)


def _in_two_lines(first: Sequence[str], second: Sequence[str], third: Sequence[str]) -> bool:
    """Whether the second line names columns too: the first leaves some open, and numbers begin below both."""
    named = [cell for cell in second if cell]
    open_ = len([cell for cell in first if cell]) < len(second)
    return open_ and len(named) > 1 and not _numeric([*first, *named]) and _numeric(third)


def _joined(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names of two lines: a name of the first spreads over the open cells to its right."""
    names, above = [], ""
    for place, below in enumerate(second):
        here = first[place] if place < len(first) else ""
        above = here or above
        names.append(f"{above} {below}".strip() if below else here)
        above = above if below else ""
    return names


def _without_empty_columns(header: Sequence[str], body: Sequence[Line]) -> tuple[list[str], list[Line]]:
    """The table without columns that have neither a name nor a cell."""
    width = max([len(header), *(len(cells) for _, cells in body)])
    named = [*header, *[""] * (width - len(header))]
    filled = [any(at < len(cells) and cells[at] for _, cells in body) for at in range(width)]
    kept = [at for at in range(width) if named[at] or (filled[at] and at < len(header))]
    more = [at for at in range(len(header), width) if filled[at]]
    rows = [(number, [cells[at] for at in (*kept, *more) if at < len(cells)]) for number, cells in body]
    return [named[at] for at in kept], rows


def _whole(header: Sequence[str], body: Sequence[Line], name: str) -> tuple[list[list[str]], list[Ignored]]:
    """The rows with a cell for each column; shorter ones are left out, for no one knows which cell is missing."""
    for number, cells in body:
        if len(cells) > len(header):
            raise UserError(
                f"Expected {len(header)} cells in a row, as the header of {name} names, but line {number} has "
                f"{len(cells)}: {listed(cells, most=8)}. Put a cell that holds a separator in quotes, or mend the line."
            )
    short = [(number, cells) for number, cells in body if len(cells) < len(header)]
    ignored = [
        ("row", cells[0], f"line {number} has {len(cells)} of {len(header)} cells: cut short")
        for number, cells in short
    ]  # fmt: skip
    return [cells for _, cells in body if len(cells) == len(header)], ignored


def _decimal_points(rows: list[list[str]]) -> tuple[list[list[str]], tuple[str, ...]]:
    """Cells with decimal points, where the table writes decimal commas."""
    commas = sum(bool(COMMA.fullmatch(cell)) for cells in rows for cell in cells)
    points = sum("." in cell and bool(NUMBER.fullmatch(cell)) for cells in rows for cell in cells)
    if commas <= points:
        return rows, ()
    turned = [[_point(cell) if COMMA.fullmatch(cell) else cell for cell in cells] for cells in rows]
    return turned, ("Read decimal commas as points.",)


def _point(cell: str) -> str:
    return DECIMAL.sub(".", re.sub(r"(?<=\d)\.(?=\d{3})", "", cell))


def _typed(header: Sequence[str], rows: Sequence[Sequence[str]]) -> pl.DataFrame:
    """The table with a type for each column, as polars finds it."""
    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(header, pl.String))
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([header, *rows])
    return pl.read_csv(written.getvalue().encode(), infer_schema_length=None, truncate_ragged_lines=False)


def _records(text: str, ending: str, name: str) -> pl.DataFrame:
    """The rows of JSON: a list of objects, columns, rows by name, or one of these within an object."""
    content = (
        [json.loads(line) for line in text.splitlines() if line.strip()] if ending == ".jsonl" else json.loads(text)
    )
    rows = _rows_of(content)
    if rows is None:
        raise UserError(
            f"Expected a table in {name}: a list of objects, or an object of columns, but it holds something else. "
            "Write one object a row, as [{'model': 'a', 'acc': 0.9}]."
        )
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    return pl.DataFrame({key: _series([row.get(key) for row in flat]) for key in columns})


def _rows_of(content: Any) -> list[Mapping[str, Any]] | None:
    if isinstance(content, list):
        return content if content and all(isinstance(row, dict) for row in content) else None
    if not isinstance(content, dict) or not content:
        return None
    values = list(content.values())
    if all(isinstance(each, dict) for each in values):
        return _named(content)
    if len(values) > 1 and all(map(_is_column, values)) and len(set(map(len, values))) == 1:
        return [dict(zip(content, cells, strict=True)) for cells in zip(*values, strict=True)]
    inside = [rows for each in values if isinstance(each, list | dict) and (rows := _rows_of(each))]
    return inside[0] if len(inside) == 1 else None


def _is_column(cells: Any) -> bool:
    return isinstance(cells, list) and not any(isinstance(cell, dict | list) for cell in cells)


def _named(content: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of an object of objects: columns by row as pandas writes them (rows by number), else rows by name."""
    inner = list(dict.fromkeys(key for row in content.values() for key in row))
    if inner and all(key.isdigit() for key in inner):
        return [{name: column.get(key) for name, column in content.items()} for key in inner]
    return [{"model": name, **row} for name, row in content.items()]


def _flat(row: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A row whose objects are cells of their own: ``{"ood": {"svhn": 1}}`` is ``{"ood.svhn": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def _series(cells: list[Any]) -> pl.Series:
    """A column; numbers beside text are text, as in a CSV."""
    if any(isinstance(cell, str) for cell in cells):
        return pl.Series([None if cell is None else unmarked(str(cell)) for cell in cells], dtype=pl.String)
    return pl.Series(cells, strict=False)
