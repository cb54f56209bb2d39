"""The cells of anyone's table as names and numbers: what is missing is counted, what is no number is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from outfield.data.labels import is_number
from outfield.errors import UserError

ABSENT = frozenset({"", "na", "n/a", "n.a.", "nan", "null", "none", "-", "--", "–", "—", "?", "/"})  # noqa: RUF001  # dashes that tables write
"""What tables write where there is no number."""


def numbers(frame: pl.DataFrame, column: str) -> tuple[pl.Series, bool]:
    """A column as float64, and whether its cells say percent; missing, NaN and infinite cells are null.

    Raises
    ------
    UserError
        A cell is no number, or some cells say percent and others do not.

    Examples
    --------
    >>> values, percent = numbers(pl.DataFrame({"acc": ["88.3%", "NA", "91 %"]}), "acc")
    >>> values.to_list(), percent
    ([88.3, None, 91.0], True)
    """
    values = frame[column]
    kind = values.dtype
    percent = False
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Object):
        values, percent = _written(values, column)
    elif not (kind.is_numeric() or kind == pl.Null):
        raise UserError(f"Expected numbers in the column {column}, but it holds {kind}. Name another column.")
    plain = values.cast(pl.Float64)
    return pl.select(pl.when(plain.is_finite()).then(plain)).to_series().rename(column), percent


def _written(values: pl.Series, column: str) -> tuple[pl.Series, bool]:
    cells = [None if cell is None else str(cell).strip() for cell in values.to_list()]
    known = [None if cell is None or cell.casefold() in ABSENT else cell for cell in cells]
    signed = [cell.endswith("%") for cell in known if cell is not None]
    if any(signed) and not all(signed):
        raise UserError(
            f"Expected one scale in the column {column}, but {sum(signed)} of its {len(signed)} cells end in %, and "
            "the others do not. Write all in percent with the sign, or none."
        )
    parsed = [None if cell is None else _number(cell.removesuffix("%")) for cell in known]
    wrong = [i for i, (cell, value) in enumerate(zip(known, parsed, strict=True)) if cell is not None and value is None]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(
            f"Expected numbers in the column {column}, but got {known[wrong[0]]!r} (row {wrong[0] + 1}{more}). "
            "Write a number with a decimal point, a percentage such as 88.3%, or leave the cell empty."
        )
    return pl.Series(column, parsed, dtype=pl.Float64), any(signed)


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if is_number(text) or text.lstrip("+-").lower() in ("inf", "infinity") else None


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
