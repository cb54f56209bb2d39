"""Tables as data: other delimiters, encodings, headers and cells are read rightly or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield.card.data import dataset
from outfield.data import datasets
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.errors import UserError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\n\n", "cannot be read"),
        (b"a,y\n", "Expected rows in .*t.csv, but it has none"),
        ("a,y\n1,x\n".encode("utf-16"), "UTF-8 at .*t.csv, but it is in UTF-16"),
        ("a,y\n1,caf\u00e9\n".encode("latin-1"), "cannot be read .*UTF-8"),
        (b"a;y\n1;x\n2;z\n", "column 'y' in .* it has a;y.*separated by ';'"),
        (b"a\ty\n1\tx\n", "separated by tabs: write"),
        (b"a,y\n1,x,3\n", "cannot be read .*as many cells in a line as the header names"),
        (b"a,y\n1\n2,x\n", "to have a label, but 1 of 2 have not: rows 0 "),
        (
            b"a,b,y\n1,oops,x\n2,3,x\n",
            r"every column \(row 0 has 'oops' as 'b'\), but 1 of 2 have not: rows 0 ",
        ),
        (b"a,b,y\n1,one,x\n2,two,x\n", "numeric columns in .*, but b is not"),
        (b"a,b,y\n1,inf,x\n2,3,x\n", "1 of 2 have not: rows 0 "),
        (b"a,b,y\n1,1e39,x\n2,3,x\n", "1 of 2 have not: rows 0 "),
        (b"a,y,y\n1,x,z\n", "one column 'y' in .*, but it has 2"),
        (b'a,y\n"1,x\n', "cannot be read"),
    ],
)
def test_faults_of_a_table_say_what_to_do(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Table(str(tmp_path / "t.csv"), label="y").load()


def test_odd_tables_that_are_right(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b,y\r\n 1 ,TRUE,x\r\n2.5,false,z\r\n")
    data = Table(str(path), label="y").load()
    assert data.read(slice(None)).tolist() == [[1.0, 1.0], [2.5, 0.0]] and data.labels.tolist() == [0, 1]
    path.write_text("a,b,a\n1,2,3\n")
    assert Table(str(path)).load().read(slice(None)).tolist() == [[1.0, 2.0, 3.0]]
    with pytest.raises(UserError, match="one column 'a'"):
        Table(str(path), columns=("a", "b")).load()
    path.write_text("a,b,y\n1,oops,x\n2,3,z\n4,NA,z\n")
    left = Table(str(path), label="y", broken="leave out").load()
    assert left.read(slice(None)).tolist() == [[2.0, 3.0]] and left.classes[left.labels[0]] == "z"
    assert "2 rows without a number in every column" in datasets.left_out_of(left)[0]


def test_tables_of_json(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": 2.5, "label": "x"}, {"a": 3, "b": None, "label": "z"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="1 of 2 have not: rows 1 "):
        Table(str(tmp_path / "t.jsonl"), label="label").load()
    assert np.isnan(dataset(tmp_path / "t.jsonl").read(slice(None))[1, 1])
    (tmp_path / "t.json").write_text(json.dumps(rows[:1]))
    data = dataset(tmp_path / "t.json")
    assert data.read(slice(None)).tolist() == [[1.0, 2.5]] and data.classes == ("x",)
    for content, message in (
        ("[1, 2]", "name their columns, as {'a': 1}, but got 1"),
        ("[null, {}]", "but got None"),
        ('[{"a": [1, 2]}]', "numeric columns in .*, but a is not"),
        ('[{"a": {"b": 1}}]', "numeric columns in .*, but a is not"),
        ("{", "cannot be read"),
    ):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(UserError, match=message):
            dataset(tmp_path / "t.json")


def test_texts_whose_lines_do_not_fit_the_header_are_refused_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,y\nHello, world,pos\nno,neg\n")
    with pytest.raises(UserError, match="2 cells in every row of .* row 0 .* has 3: 'pos' is beyond.*quotation marks"):
        Text(str(path), label="y").load()
    path.write_text("text,y\nno,neg,\nyes,pos,,\n")
    assert Text(str(path), label="y").load().labels.tolist() == [0, 1]
    path.write_text("text,text\na,b\n")
    with pytest.raises(UserError, match="one column 'text'"):
        Text(str(path)).load()
    path.write_text("text;y\na;b\n")
    with pytest.raises(UserError, match="separated by ';'"):
        Text(str(path), label="y").load()
    path.write_bytes("text,y\na,b\n".encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16"):
        Text(str(path), label="y").load()


def test_texts_of_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a", "b", None], "label": [1.0, 0.0, 1.0]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="to have text, but 1 of 3"):
        dataset(tmp_path / "t.parquet")
    data = Text(str(tmp_path / "t.parquet"), label="label", broken="leave out").load()
    assert data.read(slice(None)) == ["a", "b"] and data.labels.tolist() == [1, 0]


def test_a_table_of_thirty_thousand_columns(tmp_path: Path) -> None:
    names = [f"gene {i}" for i in range(30_000)]
    lines = [",".join([*names, "label"]), ",".join([*map(str, range(30_000)), "x"])]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = Table(str(tmp_path / "t.csv"), label="label", columns=tuple(reversed(names))).load()
    assert data.read(slice(None))[0, :2].tolist() == [29_999.0, 29_998.0] and data.classes == ("x",)


def test_numbers_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(UserError, match="row 1 has NaN or infinity, or a number beyond"):
        datasets.ArrayDataset(np.array([[1.0], [1e39]]))


def test_a_column_of_lists_without_a_name_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"a": None}, {"": []}]), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.json"):
        dataset(path)
