"""Every page is written whole or not at all, to a path or an address, and what cannot be written is told in one way."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sklearn.linear_model import LogisticRegression

import outfield
from outfield.card import hub
from outfield.card.card import Card
from outfield.card.run import evaluate
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.places import is_remote, place
from outfield.reports import analysis_page, comparison_page, page, trajectory_page
from outfield.store.write import write_text

Writer = Callable[[Path | str], Path]
ROWS = pl.DataFrame({"model": ["a"], "metric": ["auroc"], "value": [0.9], "detector": ["msp"], "ood": ["far"]})


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    draw, labels = np.random.default_rng(0), np.arange(80) % 2
    known = (draw.normal(size=(80, 3)) + labels[:, None]).astype(np.float32)
    return evaluate(
        LogisticRegression().fit(known, labels), id_test=(known, labels), ood={"far": {"away": known[:20] + 5}},
        detectors=["msp", "knn"], cache=Cache(tmp_path_factory.mktemp("cache")),
    )  # fmt: skip


PAGES = ("report.html", "trajectory.html", "comparison.html", "analysis.html", "card.html", "card.json", "README.md")


@pytest.fixture(params=PAGES)
def writer(request: pytest.FixtureRequest, card: Card, monkeypatch: pytest.MonkeyPatch) -> tuple[Writer, str]:
    """What writes a page, and the page's name; what is on the page is tested elsewhere."""
    for module in (page, trajectory_page, comparison_page, analysis_page):
        monkeypatch.setattr(module, "html", lambda *_, **__: "<p>whole</p>")
    monkeypatch.setattr("outfield.card.page.html", lambda _: "<p>whole</p>")
    monkeypatch.setattr(trajectory_page.Trajectories, "of", lambda *_: None)
    found: Any = None
    writers: dict[str, Writer] = {
        "report.html": lambda path: outfield.report(ROWS, path),
        "trajectory.html": lambda path: trajectory_page.write("results", path),
        "comparison.html": lambda path: comparison_page.write(found, path),
        "analysis.html": lambda path: analysis_page.write(found, path),
        "card.html": card.save,
        "card.json": card.save,
        "README.md": lambda path: hub.write(card, path),
    }
    return writers[request.param], request.param


def test_every_page_is_written_whole_into_a_folder_that_is_made(writer: tuple[Writer, str], tmp_path: Path) -> None:
    write, name = writer
    path = write(tmp_path / "new" / "folder" / name)
    assert path == tmp_path / "new" / "folder" / name and len(path.read_text()) > 10
    assert [one.name for one in path.parent.iterdir()] == [name]


def test_every_page_is_written_to_an_address(
    writer: tuple[Writer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a ``Path`` too, which has lost a slash; nothing of it is on this machine."""
    write, name = writer
    monkeypatch.chdir(tmp_path)
    address = f"memory://pages/{tmp_path.name}/{name}"
    for given in (address, Path(address)):
        path = write(given)
        assert is_remote(path) and len(place(address).read_text()) > 10
        MemoryFileSystem.store.clear()
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_a_page_is_told(writer: tuple[Writer, str], tmp_path: Path) -> None:
    write, name = writer
    (tmp_path / name / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"Expected (to write a file|a README.md at) .*{name}.* (Choose|Name)"):
        write(tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_the_folder_is_told(writer: tuple[Writer, str], tmp_path: Path) -> None:
    write, name = writer
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=rf"Expected .*{name}, but .*(File exists|Not a directory)"):
        write(tmp_path / "file" / name)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_no_page_is_told(
    writer: tuple[Writer, str], fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, name = writer

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(fault, os.strerror(fault))

    (tmp_path / name).write_text("before\n")
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    message = rf"Expected to write .*{name}, but got: {os.strerror(fault)}. Free some space, or choose a folder"
    with pytest.raises(UserError, match=message):
        write(tmp_path / name)
    assert (tmp_path / name).read_text() == "before\n"


def test_a_page_that_fails_half_way_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text("before", tmp_path / "page.html")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="Input/output error"):
        write_text("after", path)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_text_comes_back_as_it_was(tmp_path: Path) -> None:
    text = "\ufeffa\r\nb\n\u2028é\0"
    assert write_text(text, tmp_path / "page.md").read_bytes() == text.encode()
    assert write_text("a\udce9", tmp_path / "page.md").read_bytes() == rb"a\udce9"


def test_an_address_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nosuch:// cannot be used"):
        write_text("page", "nosuch://bucket/page.html")
    write_text("page", "memory://pages/folder/page.html")
    with pytest.raises(UserError, match="there is a folder of this name"):
        write_text("page", "memory://pages/folder")
