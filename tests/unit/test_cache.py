"""The cache of outputs: whole entries or none, damage noticed, failing writes told."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from outfield.checksums import EarlierFileWarning
from outfield.errors import UserError
from outfield.features import cache as module
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


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "header", "bare"])
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
        (tmp_path / "k" / "header.json").write_bytes(b"{}" if damage == "bare" else b"\xff{")
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


def test_clearing_leaves_what_is_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fill(cache, "a1")
    (tmp_path / "a1" / "x.npy").rename(tmp_path / "a1" / "y.npy")
    foreign = [tmp_path / "thesis" / "chapter.tex", tmp_path / ".git" / "HEAD", tmp_path / ".a1.notes" / "read.me"]
    for path in (*foreign, tmp_path / ".b2.k_3x9z0a" / "x.npy"):
        path.parent.mkdir()
        path.write_text("years of work")
    cache.clear()
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(foreign)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_an_entry_that_cannot_be_read_now_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unreadable(path: Path) -> int:
        raise OSError(number, "not now", str(path))

    fill(Cache(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(module, "_checksum", unreadable)
        with pytest.raises(UserError, match="Expected to read the cache entry k .* not now"):
            Cache(tmp_path).get("k")
    assert Cache(tmp_path).get("k") is not None


OPENING = """
import resource, sys
from pathlib import Path
import numpy as np
from outfield.features.cache import Cache
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[2])))
cache = Cache(Path(sys.argv[1]))
held = [cache.get("k") for _ in range(200)]
"""


@pytest.mark.parametrize(("most", "said"), [(1024, ""), (64, "ulimit -n")])
def test_as_many_arrays_are_open_as_the_system_grants(tmp_path: Path, most: int, said: str) -> None:
    fill(Cache(tmp_path))
    command = [sys.executable, "-c", OPENING, str(tmp_path), str(most)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert (done.returncode == 0) == (said == ""), done.stderr
    assert said in done.stderr
    assert Cache(tmp_path).get("k") is not None, "the entry is sound"


def test_others_may_read_an_entry_as_they_may_any_new_folder(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    fill(Cache(tmp_path / "cache"))
    assert (tmp_path / "cache" / "k").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_a_process_in_another_folder_has_the_same_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(Cache(Path("cache")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fill(pickle.loads(sent))
    assert (tmp_path / "cache" / "k").is_dir()


def test_a_header_without_a_seal_is_said_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.writing("ab12", rows=1, about="one") as entry:
        entry.append("x", np.ones(1))
    header = tmp_path / "ab12" / "header.json"
    stated = json.loads(header.read_bytes())
    del stated["seal"]
    header.write_text(json.dumps(stated))
    with pytest.warns(EarlierFileWarning, match="headers of cache entries bear no checksum"):
        assert cache.header("ab12")["about"] == {"about": "one"}
    assert cache.header("ab12")["checksums"] == stated["checksums"]
