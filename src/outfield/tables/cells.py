"""The cells of anyone's table as names and numbers: what is missing is counted, what is no number is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from outfield.errors import UserError, listed

ABSENT = frozenset({"", "na", "n/a", "n.a.", "nan", "null", "none", "tbd", "-", "--", "–", "—", "?", "/", "−"})  # noqa: RUF001  # dashes that tables write
"""What tables write where there is no number."""
MARK = r"(?:[*†‡§¶#↑↓¹²³]|\^\{?\w+\}?|\[\w\])*"
"""Footnote marks."""
PLAIN = r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf(?:inity)?"
CELL = re.compile(
    rf"(?P<before>{MARK})\s*(?P<value>{PLAIN})\s*(?P<percent>%?)\s*(?P<between>{MARK})\s*"
    rf"(?:±\s*(?P<spread>{PLAIN})\s*(?P<of>%?)|\(\s*±?\s*(?P<inside>{PLAIN})\s*%?\s*\))?\s*(?P<after>{MARK})",
    re.IGNORECASE,
)
WRITING = (
    (re.compile(r"\\(?:textbf|underline|mathbf|emph)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"(\*\*|__)(.+?)\1"), r"\2"),
    (re.compile(r"\\pm|\+\s*/?\s*-(?=\s*[\d.])"), "±"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\$"), ""),
    (re.compile(r"[−–](?=[\d.])"), "-"),  # noqa: RUF001  # the minus of typesetters
    (re.compile(r"(?<=\d)[\u00a0\u2007\u2009\u202f' ](?=\d{3}(?!\d))"), ""),
)  # fmt: skip
"""How tables dress their numbers, and the plain way."""
COMMA = re.compile(r"([-+]?\d+),(\d+)(\s*%?)")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+\s*%?")


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers.

    Parameters
    ----------
    values : series of float
        Missing, NaN and infinite cells are null.
    percent : bool
        Whether the cells say percent.
    spreads : series of float or None
        What stands behind ``±`` or in parentheses, in the unit of the values.
    notes : tuple of str
        Marks that were taken off, commas that were read as points.
    """

    values: pl.Series
    percent: bool = False
    spreads: pl.Series | None = None
    notes: tuple[str, ...] = ()


def numbers(frame: pl.DataFrame, column: str) -> Numbers:
    """A column as numbers, spreads apart.

    Raises
    ------
    UserError
        A cell is no number, or some cells say percent and others do not.

    Examples
    --------
    >>> found = numbers(pl.DataFrame({"acc": ["88.3%", "NA", "91 % ± 0.2"]}), "acc")
    >>> found.values.to_list(), found.percent, found.spreads.to_list()
    ([88.3, None, 91.0], True, [None, None, 0.2])
    >>> numbers(pl.DataFrame({"acc": ["**88.3**", "1,013.01", "77*"]}), "acc").notes
    ('Took footnote marks off cells of acc: 77*.',)
    """
    values = frame[column]
    kind = values.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Object):
        return _written(values, column)
    if not (kind.is_numeric() or kind == pl.Null):
        raise UserError(f"Expected numbers in the column {column}, but it holds {kind}. Name another column.")
    return Numbers(_finite(values.cast(pl.Float64)).rename(column))


def _finite(values: pl.Series) -> pl.Series:
    return pl.select(pl.when(values.is_finite()).then(values)).to_series().rename(values.name)


def _written(values: pl.Series, column: str) -> Numbers:
    cells = [None if cell is None else str(cell).strip() for cell in values.to_list()]
    known = {i: cell for i, cell in enumerate(cells) if cell is not None and cell.casefold() not in ABSENT}
    dressed, notes = _decimal_points({i: _undressed(cell) for i, cell in known.items()}, column)
    found = {i: CELL.fullmatch(cell) for i, cell in dressed.items()}
    wrong = [i for i, each in found.items() if each is None]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(
            f"Expected numbers in the column {column}, but got {known[wrong[0]]!r} (row {wrong[0] + 1}{more}). "
            "Write a number with a decimal point, a percentage such as 88.3%, or leave the cell empty."
        )
    parsed = {i: each for i, each in found.items() if each is not None}
    signed = [bool(each["percent"] or each["of"]) for each in parsed.values()]
    if any(signed) and not all(signed):
        raise UserError(
            f"Expected one scale in the column {column}, but {sum(signed)} of its {len(signed)} cells end in %, and "
            "the others do not. Write all in percent with the sign, or none."
        )
    if marked := [known[i] for i, each in parsed.items() if each["before"] or each["between"] or each["after"]]:
        notes += (f"Took footnote marks off cells of {column}: {listed(marked)}.",)
    spreads = {i: each["spread"] or each["inside"] for i, each in parsed.items()}
    return Numbers(
        _column(column, {i: each["value"] for i, each in parsed.items()}, len(cells)), any(signed),
        _column(column, spreads, len(cells)) if any(spreads.values()) else None, notes,
    )  # fmt: skip


def _undressed(cell: str) -> str:
    """A cell without bold type, LaTeX and typographic signs."""
    if cell.isascii() and cell.replace(".", "", 1).isdigit():
        return cell
    for pattern, plain in WRITING:
        cell = pattern.sub(plain, cell)
    return cell.strip()


def _decimal_points(cells: dict[int, str], column: str) -> tuple[dict[int, str], tuple[str, ...]]:
    """Cells with points, where all that have a comma write it for the decimal point."""
    commas = [cell for cell in cells.values() if "," in cell]
    if not commas or any("." in cell for cell in cells.values()) or all(map(THOUSANDS.fullmatch, commas)):
        return cells, ()
    if not all(map(COMMA.fullmatch, commas)):
        return cells, ()
    return {i: COMMA.sub(r"\1.\2\3", cell) for i, cell in cells.items()}, (
        f"Read decimal commas of {column} as points.",
    )


def _column(name: str, cells: dict[int, Any], rows: int) -> pl.Series:
    made = [cells.get(i) for i in range(rows)]
    values = [None if cell is None else float(cell.replace(",", "")) for cell in made]
    return _finite(pl.Series(name, values, dtype=pl.Float64))


def names(frame: pl.DataFrame, column: str) -> pl.Series:
    """A column as names, blanks around them stripped; null where a cell is empty.

    Examples
    --------
    >>> names(pl.DataFrame({"model": ["a ", "", None]}), "model").to_list()
    ['a', None, None]
    """
    values = frame[column]
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        raise UserError(f"Expected names in the column {column}, but it holds {values.dtype}. Name another column.")
    text = _text(values).str.strip_chars()
    return pl.select(pl.when(text != "").then(text)).to_series().rename(column)


def _text(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Object:
        cells: list[Any] = values.to_list()
        return pl.Series(values.name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)
    return values.cast(pl.String)


def without_name(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows that have a name in every one of the columns, and a sentence on those that have not.

    Examples
    --------
    >>> without_name(pl.DataFrame({"model": ["a", None]}), ["model"])[1]
    ('Left out 1 of 2 rows without a name in model (row 2).',)
    """
    nameless = pl.any_horizontal(pl.col(columns).is_null())
    lost = frame.with_row_index("__row", offset=1).filter(nameless)["__row"].to_list()
    if not lost:
        return frame, ()
    rows = f"{', '.join(map(str, lost[:5]))}{', ...' if len(lost) > 5 else ''}"
    said = f"Left out {len(lost)} of {frame.height} rows without a name in {' or '.join(columns)} (row {rows})."
    return frame.filter(~nameless), (said,)
