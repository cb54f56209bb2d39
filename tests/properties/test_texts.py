"""Whatever a name holds: Markdown, a spreadsheet and a terminal show it as text."""

from __future__ import annotations

import csv
import io
import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from outfield.card.markdown import escaped
from outfield.cli._console import console
from outfield.store.spreadsheet import without_formulas
from tests.properties.support import attacked
from tests.unit.test_hub import PLACES, shown

SIGNS = "[]()!:^#*_`~|<>&\\-+=.1 \nahtp/w@$\0"


@attacked
@given(st.text(st.sampled_from(SIGNS), max_size=12), st.sampled_from(PLACES))
def test_markdown(text: str, place: str) -> None:
    flat = " ".join(text.split()).replace("\0", "\ufffd") or "x"
    wanted, tags = shown(place.format(*["word"] * 2))
    assert shown(place.format(*[escaped(flat)] * 2)) == (" ".join(wanted.replace("word", flat).split()), tags)


@attacked
@given(st.text(st.sampled_from("=+-@\t\r\n '\",.0123456789einf\uff1d"), max_size=8))
def test_a_cell_is_a_number_or_no_formula_and_comes_back(text: str) -> None:
    written = without_formulas(pl.DataFrame({"a": [text]})).write_csv()
    (found,) = list(csv.reader(io.StringIO(written, newline="")))[1] or [""]
    assert found in (text, f"'{text}")
    if found.lstrip(" \t\r\n\0'")[:1] in set("=+-@\uff1d") and found == text and len(text.strip("+-")):
        float(text)


@attacked
@given(st.text(st.one_of(st.sampled_from("[]/\\:="), st.characters(blacklist_categories=["Cs"])), max_size=12))
def test_terminal(text: str) -> None:
    file = io.StringIO()
    console(file=file, width=400).print(f"<{text}>")
    said = file.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
    if text.isprintable():
        assert f"<{text}>" in said
