"""Attacks on tables as data: cells, lines and bytes of any kind are read rightly or refused in words."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from outfield.data import labels
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.user_data import dataset
from outfield.errors import UserError
from tests.properties.support import attacked

words = st.text(st.characters(codec="utf-8"), max_size=6)
LARGEST = float(np.finfo(np.float32).max)
numbers = st.one_of(st.integers(-(10**18), 10**18).map(str), st.floats(allow_nan=False).map(repr))
cells = st.one_of(
    numbers,
    st.sampled_from(["", "NA", "nan", "inf", "true", "1,5", "0x1", " 2", "1e400", "-1"]),
    st.text('ab1.5e-+ ²１é,"\n\t', max_size=5),
)
headers = st.lists(st.one_of(st.sampled_from(["a", "b", "label", "text", "a"]), words), min_size=1, max_size=4)
endings = st.sampled_from([".csv", ".tsv", ".CSV", ".jsonl", ".json", ".parquet", ".csv.gz"])
values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(words, inner, max_size=2)),
    max_leaves=3,
)
names = st.sampled_from(["a", "b", "text", "label"])
frames = st.dictionaries(names, st.lists(values, min_size=2, max_size=2), min_size=1)


def number_of(cell: str) -> float:
    """What a cell says, NaN where it is no number."""
    text = cell.strip().lower()
    if text in ("true", "false"):
        return float(text == "true")
    try:
        return float(text) if text.isascii() else math.nan
    except ValueError:
        return math.nan


def refused(error: UserError) -> None:
    """A refusal says what was expected; nothing else may come."""
    assert str(error).startswith(("Expected", "This needs"))


def written(rows: list[list[str]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


@attacked
@given(st.data())
def test_cells_of_numbers_are_read_as_they_stand(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 3))
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=5))
    mark = st.sampled_from(["x", "10", "2", "2.0", "NA", ""])
    marks = data.draw(st.lists(mark, min_size=len(rows), max_size=len(rows)))
    header = [f"c{i}" for i in range(width)] + ["label"]
    ending, separator = data.draw(st.sampled_from([(".csv", ","), (".tsv", "\t")]))
    broken = data.draw(st.sampled_from(["refuse", "leave out"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t{ending}")
        path.write_text(written([header, *[[*r, m] for r, m in zip(rows, marks, strict=True)]], separator), "utf-8")
        try:
            found = Table(str(path), label="label", broken=broken).load()
        except UserError as error:
            refused(error)
            return
    sound = [i for i, row in enumerate(rows) if all(abs(number_of(cell)) <= LARGEST for cell in row)]
    named = [i for i in sound if labels.names(marks)[i] is not None] if any(labels.names(marks)) else sound
    assert broken == "leave out" or len(named) == len(rows)
    wanted = np.array([[number_of(cell) for cell in rows[i]] for i in named], dtype=np.float32)
    assert np.array_equal(found.read(slice(None)), wanted)
    if found.labels is not None:
        assert found.classes is not None
        assert [found.classes[number] for number in found.labels] == [labels.name(marks[i]) for i in named]


@attacked
@given(headers, st.lists(st.lists(cells, max_size=5), max_size=5), endings)
def test_ragged_and_odd_lines_are_read_or_refused(header: list[str], rows: list[list[str]], ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t{ending}")
        path.write_text(written([header, *rows], ","), "utf-8")
        for read in (lambda: dataset(path), Table(str(path)).load, Text(str(path), text=("a",), label="b").load):
            try:
                assert len(read())
            except UserError as error:
                refused(error)


@attacked
@given(st.binary(max_size=60), st.sampled_from([b"", b"a,label\n1,x\n", b'{"a": 1}\n', b"PAR1"]), endings)
def test_bytes_of_any_kind_are_read_or_refused(content: bytes, before: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t{ending}")
        path.write_bytes(before + content)
        for read in (lambda: dataset(path), Table(str(path), label="label").load, Text(str(path)).load):
            try:
                assert len(read())
            except UserError as error:
                refused(error)


@attacked
@given(st.lists(st.one_of(values, st.dictionaries(st.sampled_from(["a", "text", "label"]), values)), max_size=4))
def test_json_of_any_shape_is_read_or_refused(rows: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, text in (
            (Path(folder, "t.json"), json.dumps(rows)),
            (Path(folder, "t.jsonl"), "\n".join(map(json.dumps, rows))),
        ):
            path.write_text(text)
            for read in (lambda path=path: dataset(path), Table(str(path), label="label").load, Text(str(path)).load):
                try:
                    assert len(read()) == len(rows)
                except UserError as error:
                    refused(error)


@attacked
@given(frames)
def test_parquet_of_any_shape_is_read_or_refused(columns: dict[str, list[Any]]) -> None:
    try:
        frame = pl.DataFrame(columns, strict=False)
    except Exception:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.parquet")
        try:
            frame.write_parquet(path)
        except BaseException:
            return
        for read in (lambda: dataset(path), Table(str(path)).load):
            try:
                assert len(read()) == 2
            except UserError as error:
                refused(error)
