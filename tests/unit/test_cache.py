"""The cache of outputs: whole entries or none, damage noticed, failing writes told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from outfield.errors import UserError
from outfield.features.cache import Cache, DamagedEntryWarning, default_folder


def fill(cache: Cache, key: str = "k", rows: int = 3) -> None:
    with cache.writing(key, rows=rows, about="numbers") as entry:
        for row in range(rows):
            entry.append("x", np.full((1, 2), row, np.float32))
        if not rows:
            entry.append("x", np.zeros((0, 2), np.float32))


def test_an_entry_comes_back_memory_mapped(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fill(cache)
    found = cache.get("k")
    assert found is not None
    assert isinstance(found["x"], np.memmap)
    assert found["x"][:, 0].tolist() == [0, 1, 2]
    assert cache.entries()[0][:2] == ("k", {"about": "numbers"})


def test_a_failing_block_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(ZeroDivisionError), cache.writing("k", rows=1) as entry:
        entry.append("x", np.zeros((1, 2)))
        raise ZeroDivisionError
    assert cache.get("k") is None
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_entry_do_not_harm_each_other(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), Cache(tmp_path)
    with one.writing("k", rows=1) as first:
        first.append("x", np.ones((1, 2)))
        with other.writing("k", rows=1) as second:
            second.append("x", np.ones((1, 2)))
    assert one.get("k") is not None
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "header"])
def test_damage_is_noticed_reported_and_the_entry_forgotten(tmp_path: Path, damage: str) -> None:
    fill(Cache(tmp_path))
    path = tmp_path / "k" / "x.npy"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-1])
    elif damage == "flip":
        content[-1] ^= 4
        path.write_bytes(content)
    elif damage == "remove":
        path.unlink()
    else:
        (tmp_path / "k" / "header.json").write_bytes(b"\xff{")
    with pytest.warns(DamagedEntryWarning, match="entry k is damaged"):
        assert Cache(tmp_path).get("k") is None
    assert Cache(tmp_path).get("k") is None
    fill(Cache(tmp_path))
    assert Cache(tmp_path).get("k") is not None


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="OUTFIELD_CACHE"):
        fill(Cache(tmp_path / "file" / "cache"))


def test_clearing_frees_everything(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fill(cache, "a")
    fill(cache, "b")
    assert cache.clear() > 0
    assert cache.entries() == []
    assert cache.get("a") is None
    assert Cache(tmp_path / "absent").clear() == 0


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OUTFIELD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "outfield"
