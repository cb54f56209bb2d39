"""Rows of tables and texts: what the sources that read them share."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from outfield.data import labels
from outfield.errors import UserError, listed

SHOWN = 10
"""Rows that a message names; the others are counted."""


def column(names: Collection[str], wanted: str, where: str) -> str:
    """``wanted``, where it is there once; ``UserError`` with the names that are, otherwise."""
    count = names[wanted] if isinstance(names, Counter) else list(names).count(wanted)
    if count > 1:
        raise UserError(f"Expected one column {wanted!r} in {where}, but it has {count}. Give them names of their own.")
    if not count:
        raise UserError(
            f"Expected a column {wanted!r} in {where}, but it has {listed(list(names))}. "
            f"Name one of these.{other_separator(names)}"
        )
    return wanted


def utf8(file: Path) -> Path:
    """The file, where it does not begin as UTF-16 does.

    Raises
    ------
    UserError
        It does.
    """
    with file.open("rb") as content:
        if content.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError(f"Expected a table in UTF-8 at {file}, but it is in UTF-16. Save it as UTF-8.")
    return file


def ending(file: Path) -> str:
    """The ending that says what a file holds, whatever its case, that of a compression aside.

    Examples
    --------
    >>> ending(Path("news.CSV.gz"))
    '.csv'
    """
    return Path(file.name.lower().removesuffix(".gz")).suffix


def opened(file: Path) -> TextIO:
    """The text of a file, gzipped or not; line ends stay as they are."""
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def separator(file: Path) -> str:
    """What stands between the cells of a table of texts: tabs in ``.tsv``, else commas."""
    return "\t" if ending(file) == ".tsv" else ","


def header(file: Path) -> list[str]:
    """The names of the columns in the first line of a table of texts."""
    import polars as pl

    first = pl.read_csv(file, separator=separator(file), has_header=False, n_rows=1, infer_schema=False)
    return ["" if name is None else str(name) for name in first.row(0)]


def records(file: Path) -> list[Any]:
    """The rows of a file of JSON: one a line in ``.jsonl``, a list in ``.json``; gzipped or not."""
    with opened(file) as text:
        if ending(file) == ".jsonl":
            return [json.loads(line) for line in text if line.strip()]
        content = json.load(text)
    return content if isinstance(content, list) else [content]


def other_separator(names: Collection[str]) -> str:
    """What to do where a header of one name looks like several."""
    only = next(iter(names), "") if len(names) == 1 else ""
    found = next((mark for mark in (";", "\t", "|", ",") if mark in only), None)
    said = {"\t": "tabs", ",": "commas"}.get(found or "", repr(found))
    return "" if found is None else f" Its columns seem to be separated by {said}: write commas (.csv) or tabs (.tsv)."


@dataclass(frozen=True)
class Labelled:
    """The rows of a table that are kept for their labels, and what these are.

    ``rows`` are numbers of rows; ``numbers`` their labels and ``classes`` the names, or None where no row has a label;
    ``left_out`` tells of the other rows.
    """

    rows: NDArray[np.int64]
    numbers: NDArray[np.int64] | None
    classes: tuple[str, ...] | None
    left_out: list[str]


def labelled(
    values: Sequence[Any],
    chosen: Sequence[Any] | None,
    broken: str,
    where: str,
    rows: NDArray[np.int64] | None = None,
) -> Labelled:
    """Labels 0, 1, ... of label values, and the names of the classes.

    Without ``chosen``, the classes are all values, numbers by size, then words; a set without any label has none.
    With it, they are those values in that order, and rows of other values, or of none, are left out and counted.
    ``rows`` are the numbers of the rows that the values are of, by default 0, 1, ....

    Raises
    ------
    UserError
        Some rows have no label and may not be left out; or no row is of a chosen value.
    """
    rows = np.arange(len(values)) if rows is None else rows
    if chosen is not None:
        return _chosen(values, [str(labels.name(one)) for one in chosen], where, rows)
    found = labels.names(values)
    if not any(found):
        return Labelled(rows, None, None, [])
    at, left_out = kept(np.array([one is not None for one in found]), broken, where, "a label", rows)
    present = [str(found[place]) for place in at]
    classes = labels.ordered(present)
    number = {one: place for place, one in enumerate(classes)}
    return Labelled(rows[at], np.array([number[one] for one in present], dtype=np.int64), classes, left_out)


def _chosen(values: Sequence[Any], chosen: Sequence[str], where: str, rows: NDArray[np.int64]) -> Labelled:
    found = list(map(labels.name, values))
    present = labels.ordered(one for one in found if one is not None)
    number = {present[at]: place for place, at in enumerate(labels.places(chosen, present, where)) if at >= 0}
    numbers = np.array([-1 if one is None else number.get(one, -1) for one in found], dtype=np.int64)
    at, said = np.flatnonzero(numbers >= 0), listed(chosen)
    if not len(at):
        raise UserError(
            f"Expected rows labelled {said} in {where}, but found none: it has {listed(present) or 'no labels'}."
            " Mend `values`."
        )
    absent = len(found) - len(at)
    left_out = [f"{where}: {absent} rows with other labels than {said}"] if absent else []
    return Labelled(rows[at], numbers[at], tuple(chosen), left_out)


def kept(
    sound: NDArray[np.bool_], broken: str, where: str, what: str, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], list[str]]:
    """The places of the sound rows, and what is to be said about the others, by their numbers in ``rows``.

    Raises
    ------
    UserError
        Rows are not sound and may not be left out.
    """
    faulty = np.flatnonzero(~sound)
    if not len(faulty):
        return np.arange(len(sound)), []
    numbers = (faulty if rows is None else rows[faulty])[:SHOWN].tolist()
    shown = ", ".join(map(str, numbers)) + (" ..." if len(faulty) > SHOWN else "")
    if broken != "leave out":
        raise UserError(
            f"Expected every row of {where} to have {what}, but {len(faulty)} of {len(sound)} have not: rows {shown} "
            "(the first is 0). Mend them, or set `broken: leave out` to go on without them."
        )
    return np.flatnonzero(sound), [f"{where}: {len(faulty)} rows without {what}: {shown}"]
