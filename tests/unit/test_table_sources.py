"""Tables as data: other delimiters, encodings, headers and cells are read rightly or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield.data import datasets
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.user_data import dataset
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


def test_targets_and_groups_of_a_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"age": [30, 40, 50], "town": ["Oslo", "Bern", "Oslo"], "cost": [1.5, 2.0, 9.25]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    for path in (str(tmp_path / "t.csv"), str(tmp_path / "t.parquet")):
        source = Table(path, target="cost", group="town")
        for data in (source.load(), source.as_fitted()):
            assert data.read(slice(None)).tolist() == [[30.0], [40.0], [50.0]] and data.labels is None
            assert datasets.targets_of(data).tolist() == [1.5, 2.0, 9.25]
            assert datasets.groups_of(data).tolist() == [1, 0, 1]
            assert datasets.group_names_of(data) == ("Bern", "Oslo")
        classed = Table(path, label="town", group="town").load()
        assert classed.labels.tolist() == datasets.groups_of(classed).tolist() == [1, 0, 1]
        assert classed.read(slice(None)).shape == (3, 2)


def test_a_group_is_an_input_where_it_is_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("age,site,cost\n30,2,1\n40,10,2\n")
    data = Table(str(path), target="cost", group="site", columns=("site", "age", "cost")).load()
    assert data.read(slice(None)).tolist() == [[2.0, 30.0], [10.0, 40.0]]
    assert datasets.group_names_of(data) == ("2", "10") and datasets.groups_of(data).tolist() == [0, 1]
    worded = Table(str(path), group="site", columns=("age",)).as_fitted()
    assert datasets.groups_of(worded).tolist() == [0, 1] and worded.read(slice(None)).columns == ("age",)


def test_rows_without_target_or_group_are_refused_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("age,site,cost,y\n1,a,1,x\n2,a,NA,x\n3,,3,x\n4,b,oops,z\n")
    for given, message in (
        ({"target": "cost"}, r"a finite number as target \(row 3 has 'oops' as 'cost'\), but 2 of 4 .*rows 1, 3 "),
        ({"group": "site"}, "a group in 'site', but 1 of 4 have not: rows 2 "),
        ({"target": "y"}, "but y is not.*Name a numeric one with `target`; classes are `label`"),
        ({"target": "price"}, "column 'price' in"),
        ({"group": "town"}, "column 'town' in"),
    ):
        with pytest.raises(UserError, match=message):
            Table(str(path), columns=("age",), **given).load()
    path.write_text("age,site,cost\n1,a,1\n2,a,NA\n3,,3\n4,b,4\n,b,5\n6,b,oops\n")
    with pytest.raises(UserError, match="a label or a target, but got both: 'y' and 'cost'"):
        Table(str(path), label="y", target="cost")
    data = Table(str(path), columns=("age",), target="cost", group="site", broken="leave out").load()
    assert data.read(slice(None)).tolist() == [[1.0], [4.0]]
    assert datasets.targets_of(data).tolist() == [1.0, 4.0] and datasets.groups_of(data).tolist() == [0, 1]
    assert [text.split(": ", 1)[1].split(" (")[0] for text in datasets.left_out_of(data)] == [
        "1 rows without a number in every column: 4",
        "2 rows without a finite number as target",
        "1 rows without a group in 'site': 2",
    ]
