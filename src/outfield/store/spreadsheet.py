"""Cells of a CSV file that is opened in a spreadsheet: what would be a formula there is text."""

from __future__ import annotations

import re

import polars as pl
import polars.selectors as cs

FORMULA = r"^[\s\x00']*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]|^[\t\r\n]"
"""How a cell begins that a spreadsheet would work out; the last four are the same signs in full width."""
PLAIN = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI]nf)?$"
"""A number, or a sign alone: neither does anything."""


def without_formulas(table: pl.DataFrame) -> pl.DataFrame:
    r"""The table with ``'`` before each text, and each heading, that a spreadsheet would take for a formula.

    Numbers stay as they are, also those that are stored as text. To remove one ``'`` gives the text back.

    Examples
    --------
    >>> without_formulas(pl.DataFrame({"model": ["=1+1", "-0.5", "net"], "value": [-0.5, 1.0, 2.0]})).rows()
    [("'=1+1", -0.5), ('-0.5', 1.0), ('net', 2.0)]
    """
    texts = (cs.string(include_categorical=True) | cs.enum()).cast(pl.String)
    asked = texts.str.contains(FORMULA) & ~texts.str.contains(PLAIN)
    quoted = pl.when(asked).then(pl.lit("'") + texts).otherwise(texts)
    return table.with_columns(quoted.name.keep()).rename(_heading)


def _heading(name: str) -> str:
    return f"'{name}" if re.search(FORMULA, name) and not re.search(PLAIN, name) else name
