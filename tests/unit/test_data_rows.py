"""Texts, tables, shards, the hub: published formats, label values, faults in words."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from outfield.data import datasets
from outfield.data.sources.hub import Hub
from outfield.data.sources.table import Table
from outfield.data.sources.text import Text
from outfield.data.sources.webdataset import Webdataset
from outfield.errors import MissingExtra, UserError

DATA = Path(os.environ.get("OUTFIELD_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data sets are not at {DATA} (set OUTFIELD_DATA)")
needs_hub = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the package datasets is absent")


def test_texts_of_every_format(tmp_path: Path) -> None:
    rows = [{"text": 'say "hi", please', "label": "b"}, {"text": "no", "label": "a"}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "x.json").write_text(json.dumps({"dev": rows}))
    (tmp_path / "x.csv").write_text('\ufefftext,label\n"say ""hi"", please",b\nno,a\n')
    (tmp_path / "x.tsv").write_text('text\tlabel\nsay "hi", please\tb\nno\ta\n')
    with gzip.open(tmp_path / "x.txt.gz", "wt") as file:
        file.write((tmp_path / "x.tsv").read_text())
    keys = set()
    for name, more in (
        ("x.jsonl", {}),
        ("x.json", {"under": "dev"}),
        ("x.csv", {}),
        ("x.tsv", {"quotes": False}),
        ("x.txt.gz", {"quotes": False}),
    ):
        data = Text(str(tmp_path / name), label="label", **more).load()
        assert data.read(slice(None)) == ['say "hi", please', "no"]
        assert data.classes == ("a", "b") and data.labels.tolist() == [1, 0]
        keys.add(data.digest())
    assert len(keys) == 1


def test_quotes_that_are_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('a\tb\n"open\tdoor\nnext\trow\n')
    data = Text(str(tmp_path / "x.tsv"), text=("a", "b"), quotes=False).load()
    assert data.read(slice(None)) == [('"open', "door"), ("next", "row")] and data.labels is None


def test_label_values_choose_rows_and_set_their_order(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,y\na,0\nb,1\nc,2\nd,10\n")
    path = str(tmp_path / "x.csv")
    assert Text(path, label="y").load().classes == ("0", "1", "2", "10")
    data = Text(path, label="y", values=("2", "0")).load()
    assert data.read(slice(None)) == ["a", "c"] and data.labels.tolist() == [1, 0]
    assert datasets.left_out_of(data) == (f"{path}: 2 rows with other labels than 2, 0",)
    with pytest.raises(UserError, match="rows labelled yes"):
        Text(path, label="y", values=("yes",)).load()


def test_faults_of_texts(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,y\na,0\n,1\n")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "list.jsonl").write_text('{"text": "a"}\n{"words": "b"}\n')
    (tmp_path / "none.csv").write_text("text\n")
    (tmp_path / "x.json").write_text('{"train": []}')
    (tmp_path / "x.doc").write_text("a")
    (tmp_path / "latin.csv").write_bytes(b"text\ncaf\xe9\n")
    (tmp_path / "x.jsonl.gz").write_text("not compressed")
    cases = {
        "x.csv": r"1 of 2 have not: rows 1 ",
        "bad.jsonl": "cannot be read",
        "list.jsonl": "column 'text' in row 1 of .*it has words",
        "none.csv": "found none",
        "x.json": "got entries train. Name the entry",
        "x.doc": "Expected a .jsonl",
        "latin.csv": "cannot be read",
        "x.jsonl.gz": "cannot be read",
        "absent.csv": "there is none",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            Text(str(tmp_path / name)).load()
    data = Text(str(tmp_path / "x.csv"), label="y", broken="leave out").load()
    assert data.read(slice(None)) == ["a"] and "1 rows without text: 1" in datasets.left_out_of(data)[0]
    with pytest.raises(UserError, match="column 'label' .* it has text, y"):
        Text(str(tmp_path / "x.csv"), label="label", broken="leave out").load()


def test_tables_of_every_format(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "kind": ["x", "y", "x"], "ok": [True, False, True]})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    made = [Table(str(tmp_path / f"t.{suffix}"), label="kind").load() for suffix in ("parquet", "csv", "tsv")]
    assert len({data.digest() for data in made}) == 1
    assert made[0].read(slice(0, 1)).tolist() == [[1.0, 0.5, 1.0]] and made[0].labels.tolist() == [0, 1, 0]
    chosen = Table(str(tmp_path / "t.csv"), label="kind", columns=("b", "a"), values=("x",)).load()
    assert chosen.read(slice(None)).tolist() == [[0.5, 1.0], [2.5, 3.0]] and chosen.labels.tolist() == [0, 0]
    assert "1 rows with other labels" in datasets.left_out_of(chosen)[0]


def test_faults_of_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,kind\n1,2,x\n,4,y\nnan,1,y\n")
    (tmp_path / "bad.parquet").write_text("no parquet")
    path = str(tmp_path / "t.csv")
    with pytest.raises(UserError, match="2 of 3 have not: rows 1, 2"):
        Table(path, label="kind").load()
    assert len(Table(path, label="kind", broken="leave out").load()) == 1
    with pytest.raises(UserError, match="kind is not"):
        Table(path).load()
    with pytest.raises(UserError, match="column 'c'"):
        Table(path, columns=("c",)).load()
    with pytest.raises(UserError, match="cannot be read"):
        Table(str(tmp_path / "bad.parquet")).load()


def shard(path: Path, samples: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in samples.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))


def png(shade: int) -> bytes:
    buffer = BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


def test_shards_are_read_in_order_and_by_row(tmp_path: Path) -> None:
    for number in range(3):
        names = [f"{number}{i}" for i in range(5)]
        files = {f"{name}.png": png(10 * number + i) for i, name in enumerate(names)}
        files |= {f"{name}.cls": str(i % 2).encode() for i, name in enumerate(names)}
        files |= {f"{name}.json": json.dumps({"kind": i}).encode() for i, name in enumerate(names)}
        shard(tmp_path / f"set-{number:03}.tar", dict(sorted(files.items())))
    data = Webdataset(str(tmp_path / "set-{000..002}.tar")).load()
    assert data.read(np.array([7, 0]))[:, 0, 0, 0].tolist() == [12, 0] and data.labels.tolist() == [0, 1, 0, 1, 0] * 3
    assert Webdataset(str(tmp_path / "set-*.tar")).load().digest() == data.digest()
    assert Webdataset(str(tmp_path / "set-000.tar"), label="kind").load().labels.tolist() == [0, 1, 2, 3, 4]
    assert Webdataset(str(tmp_path / "set-000.tar"), label="none").load().labels is None


def test_faults_of_shards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no .*set-1.tar"):
        Webdataset(str(tmp_path / "set-{1..2}.tar")).load()
    shard(tmp_path / "a.tar", {"1.png": png(1), "1.cls": b"0", "2.png": png(2)})
    with pytest.raises(UserError, match="1 have none, the first .*a.tar:2"):
        Webdataset(str(tmp_path / "a.tar")).load()
    shard(tmp_path / "b.tar", {"1.png": png(1), "1.cls": b"zero"})
    with pytest.raises(UserError, match="a number as the label 'cls'"):
        Webdataset(str(tmp_path / "b.tar")).load()
    shard(tmp_path / "c.tar", {"1.txt": b"a"})
    with pytest.raises(UserError, match="found none"):
        Webdataset(str(tmp_path / "c.tar")).load()
    (tmp_path / "d.tar").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(UserError, match="uncompressed tar archive"):
        Webdataset(str(tmp_path / "d.tar")).load()
    shard(tmp_path / "e.tar", {"1.png": png(1), "2.png": b"no picture"})
    with pytest.raises(UserError, match="1 of 2 cannot:\n.*e.tar:2"):
        Webdataset(str(tmp_path / "e.tar")).load().read(slice(None))


def test_the_hub_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"outfield\[text\]"):
        Hub("owner/name").load()


@needs_hub
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_folders_in_the_hubs_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets as hub

    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub.disable_progress_bars()
    texts = tmp_path / "texts"
    texts.mkdir()
    pl.DataFrame({"a": ["x", "y", "z"], "b": ["1", "2", "3"], "gold": ["n", "e", "c"]}).write_parquet(
        texts / "test.parquet"
    )
    pairs = Hub(str(texts), inputs=("a", "b"), label="gold", values=("e", "c")).load()
    assert pairs.read(slice(None)) == [("y", "2"), ("z", "3")] and pairs.labels.tolist() == [0, 1]
    assert Hub(str(texts)).load().read(slice(0, 1)) == ["x"]
    for i, name in enumerate(("cat", "dog", "cat")):
        place = tmp_path / "pictures" / "test" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(png(i))
    pictures = Hub(str(tmp_path / "pictures"), label="label", channels=3).load()
    assert pictures.classes == ("cat", "dog") and sorted(pictures.labels.tolist()) == [0, 0, 1]
    assert pictures.read(slice(None)).shape == (3, 4, 4, 3)
    with pytest.raises(UserError, match="with a split 'train'"):
        Hub(str(texts), split="train").load()
    with pytest.raises(UserError, match="column 'words'"):
        Hub(str(texts), inputs=("words",)).load()


@real
def test_real_texts() -> None:
    snli = Text(
        str(DATA / "nli/snli_test.tsv"), text=("premise", "hypothesis"), label="label", values=("0", "2")
    ).load()
    assert len(snli) == 3368 + 3237 and len(snli.read(slice(0, 1))[0]) == 2
    hans = Text(str(DATA / "nli/hans_regenerated.txt.gz"), text=("sentence1", "sentence2"), label="gold_label").load()
    assert np.bincount(hans.labels).tolist() == [15_000, 15_000]
    oos = Text(str(DATA / "text/clinc150_full.json"), text=("0",), under="oos_test").load()
    assert len(oos) == 1000
