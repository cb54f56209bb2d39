"""Anyone's table, whatever is in it: ``analyse`` refuses it with a ``UserError``, or its values are the right ones."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from outfield.errors import UserError
from outfield.reports.analysis import analyse
from outfield.reports.analysis_page import displays
from outfield.reports.findings import findings
from outfield.tables.measures import MEAN, Measures, measures
from tests.properties.support import EXAMPLES, attacked

COLUMNS = ("model", "strategy", "family", "acc", "ood1", "near", "unit", "value", "metric", "größe", "a b", "")
SHARES = st.floats(0, 1, width=32)
PERCENT = st.floats(1, 100, width=32)
ODD = st.sampled_from([float("nan"), float("inf"), -float("inf"), None, 0.0, 1.0, 0.5])
CELLS = st.sampled_from(["NA", "", "-", "n/a", "88.3%", "text", "0.5", "1,5", None, "nan", " 0.7 ", "inf", "ü[/red]"])
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "ü", "", " ", None, "a ", "[/red]", "x\x00y", "1"])
DAMAGED = ("UnicodeDecodeError", "unexpected end of data")
"""What a library may say of a damaged file."""
CELLS_OF_A_MODEL = ((None, None), ("a", "msp"), ("a", "knn"), ("b", "msp"), ("b", "knn"))
VALUES = (SHARES, SHARES | ODD, PERCENT, CELLS, st.just(0.5), st.integers(-3, 120), st.booleans(), st.none())


def column(rows: int, values: st.SearchStrategy[Any]) -> st.SearchStrategy[pl.Series]:
    cells = st.lists(values, min_size=rows, max_size=rows)
    return cells.map(lambda made: pl.Series(made, strict=False))


@st.composite
def wide(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.sampled_from([0, 1, 3, 5, 9, 12]))
    plain = draw(st.booleans())
    named = pl.Series([f"m{i}" for i in range(rows)]) if plain else draw(column(rows, NAMES))
    frame = {"model": named}
    for name in draw(st.lists(st.sampled_from(COLUMNS), min_size=2, max_size=6, unique=True)):
        frame[name] = draw(column(rows, draw(st.sampled_from((NAMES, *VALUES) if not plain else VALUES[:3]))))
    return pl.DataFrame(frame)


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    name = st.sampled_from((*COLUMNS, "nowhere"))
    some = st.dictionaries(st.sampled_from(["model", "family", "strategy", "id", "ece", "study", "baseline"]), name)
    many = st.dictionaries(st.sampled_from(["ood", "higher", "lower"]), st.lists(name, max_size=3), max_size=3)
    plain = {"id": "acc", "ood": ["ood1"]} if draw(st.booleans()) else {}
    return {**draw(some), **draw(many), **plain}


def looked_at(found: Measures) -> None:
    """Shares, names and counts that hold of every table that is read."""
    assert found.units.height >= 4 and found.units["unit"].n_unique() == found.units.height
    assert all(name.strip() == name and name for name in found.names)
    for name in (found.id, *found.ood):
        assert all(isfinite(value) and 0 <= value <= 1 for value in found.column(name))
    assert found.baseline is None or found.baseline in found.names


@attacked
@given(wide(), options())
def test_a_wide_table_is_read_or_refused(table: pl.DataFrame, options: dict[str, Any]) -> None:
    try:
        found = measures(table, **options)
    except UserError:
        return
    looked_at(found)
    given = table[found.id].to_list() if found.rows is None else []
    if found.level == "model" and all(isinstance(cell, float) and 0 <= cell <= 1 for cell in given):
        assert set(found.units[found.id]) <= set(given)


LINES = st.lists(st.lists(CELLS | NAMES | st.floats(0, 100, width=32).map(str), max_size=5), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(0, 1) | st.sampled_from(["a", "0.5", "88.3 ± 0.1", "<b>x</b>"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(COLUMNS), inner, max_size=5),
    max_leaves=30,
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file: a table of whatever cells, JSON, or bytes of no meaning."""
    if draw(st.integers(0, 4)) == 0:
        return "t.json", json.dumps(draw(JSON)).encode()
    separator, encoding = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["utf-8", "utf-16", "cp1252"]))
    rows = [["model", "acc", "ood1"], *([f"m{i}", f"{60 + i}", f"{40 + i}"] for i in range(5)), *draw(LINES)]
    text = "\n".join(
        separator.join("" if cell is None else cell for cell in row) for row in draw(st.permutations(rows))
    )
    return "t.csv", text.encode(encoding, errors="replace") + draw(st.sampled_from([b"", b"\n", b'"', b"\xff", b",,,"]))


@attacked
@given(written(), st.just({}) | options())
def test_a_file_is_read_or_refused(file: tuple[str, bytes], options: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / file[0]).write_bytes(file[1])
        found = read(Path(folder) / file[0], options)
    if isinstance(found, Measures):
        looked_at(found)
    else:
        assert "cannot be read (" not in found or any(text in found for text in DAMAGED), found


def read(path: Path, options: dict[str, Any]) -> Measures | str:
    """The measures of a file, or what the error says."""
    try:
        return measures(path, **options)
    except UserError as error:
        return str(error)


@st.composite
def long(draw: st.DrawFn) -> pl.DataFrame:
    """Rows of some models, of which any cell may be damaged."""
    models = draw(st.integers(0, 6))
    share = draw(st.sampled_from([1.0, 100.0]))
    rows = [
        {"model": f"m{i}", "strategy": f"s{i // draw(st.sampled_from([1, 2]))}", "detector": detector, "ood": ood,
         "ood_category": "near", "set_kind": "id" if ood is None else "ood",
         "metric": "accuracy" if ood is None else "auroc", "value": share * draw(SHARES)}
        for i in range(models) for ood, detector in CELLS_OF_A_MODEL
    ]  # fmt: skip
    for _ in range(draw(st.integers(0, 3))):
        if rows:
            row = draw(st.sampled_from(rows))
            name = draw(st.sampled_from(sorted(row)))
            row[name] = draw(CELLS if name != "value" else ODD)
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


@attacked
@given(long(), st.just({}) | options())
def test_long_rows_are_read_or_refused(table: pl.DataFrame, options: dict[str, Any]) -> None:
    try:
        found = measures(table, **options)
    except UserError:
        return
    looked_at(found)
    if found.rows is not None:
        means = [found.column(name) for name in found.ood if name != MEAN]
        assert all(
            abs(sum(each) / len(means) - mean) < 1e-9 for *each, mean in zip(*means, found.column(MEAN), strict=True)
        )


@settings(attacked, max_examples=max(4, EXAMPLES // 50))
@given(st.integers(4, 9), st.data())
def test_every_statistic_of_a_table_is_there_or_refused(rows: int, data: st.DataObject) -> None:
    values = st.sampled_from((SHARES, st.just(0.5), st.sampled_from([0.0, 1.0]), st.sampled_from([0.2, 0.3])))
    frame = {
        "model": [f"m{i}" for i in range(rows)],
        "family": data.draw(st.lists(st.sampled_from("ab"), min_size=rows, max_size=rows)),
    }
    for name in ("acc", "ood1", "fpr95"):
        frame[name] = data.draw(st.lists(data.draw(values), min_size=rows, max_size=rows))
    try:
        found = analyse(pl.DataFrame(frame), family="family", id="acc", ood=["ood1", "fpr95"])
    except UserError:
        return
    findings(found)
    try:
        shown = displays(found)
    except UserError:
        return
    if "Ranks" in shown:
        assert sorted(found.friedman.names) == sorted(found.measures.names)
