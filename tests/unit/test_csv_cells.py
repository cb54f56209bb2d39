"""A CSV that is downloaded: no text is a formula in a spreadsheet, no number changes."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest

from outfield.dashboard import replies
from outfield.reports.displays.base import Display
from outfield.reports.html import render
from outfield.store.spreadsheet import without_formulas

FORMULAS = (
    '=HYPERLINK("http://x","y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\0=1",
    "--1", "\uff1d1+1", "'=1", "-nan(",
)  # fmt: skip
PLAIN = ("-0.5", "+1", "-1e-3", "-.5", "-inf", "-", "a=b", "net", "", "it's", "'quoted'", "[near] x")


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_work_out_is_text(text: str) -> None:
    assert without_formulas(pl.DataFrame({"a": [text]}))["a"].to_list() == [f"'{text}"]


@pytest.mark.parametrize("text", PLAIN)
def test_what_it_would_not_stays(text: str) -> None:
    assert without_formulas(pl.DataFrame({"a": [text]}))["a"].to_list() == [text]


def test_numbers_categories_and_headings() -> None:
    table = pl.DataFrame(
        {
            "=a": [-0.5, None],
            "class": pl.Series(["=1", "b"], dtype=pl.Categorical),
            "role": pl.Series(["@1", None], dtype=pl.Enum(["@1"])),
        }
    )
    found = without_formulas(table)
    assert found.columns == ["'=a", "class", "role"]
    assert found.rows() == [(-0.5, "'=1", "'@1"), (None, "b", None)]


def test_the_dashboards_download_is_escaped() -> None:
    pieces = [pl.DataFrame({"model": ["=1+1"], "value": [-0.5]}), pl.DataFrame({"model": ["@x"], "value": [-1e-30]})]
    assert cells("".join(replies._lines(pieces, ()))) == [["model", "value"], ["'=1+1", "-0.5"], ["'@x", "-1e-30"]]


def test_the_reports_download_is_escaped() -> None:
    display = Display("d", "Title", "Caption.", pl.DataFrame({"=name": ["=1+1", "-0.5"], "value": [-0.5, 0.123456789]}))
    assert cells(render(display).csv) == [["'=name", "value"], ["'=1+1", "-0.5"], ["-0.5", "0.123457"]]
    assert render(display).rows[0] == ("=1+1", "-0.500")
