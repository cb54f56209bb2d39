"""What killed processes leave goes at once, what living ones write stays, and a full disk leaves nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from outfield import temporary_files
from outfield.errors import UserError
from outfield.features import cache as caches
from outfield.features.cache import Cache
from outfield.places import copies, place
from outfield.store import write

HOLDING = """
import sys, time
from pathlib import Path
import numpy as np
from outfield.features.cache import Cache
from outfield.store import write
from outfield.temporary_files import work_folder
folder = Path(sys.argv[1])
cache = Cache(folder / "cache")
with write.atomically(folder / "rows" / "k.parquet"), cache.writing("ab12", 1) as entry, work_folder("x"):
    entry.append("x", np.zeros(1))
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holding(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
    """A process in the middle of writing rows, a cache entry and a work folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    running = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], cwd=repository, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    return running


def left(folder: Path) -> list[str]:
    write._swept.cache_clear()
    caches._swept.cache_clear()
    write.done(folder)
    with Cache(folder / "cache").writing("cd34", 1) as entry:
        entry.append("x", np.zeros(1))
    with temporary_files.work_folder("y"):
        pass
    found = [*(folder / "rows").iterdir(), *(folder / "cache").glob(".*"), *(folder / "temporary").glob("outfield-*")]
    return sorted(path.name for path in found)


def test_what_a_killed_process_left_goes_at_once_and_what_a_living_one_writes_stays(
    holding: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert len(left(tmp_path)) == 3
    holding.send_signal(signal.SIGKILL)
    holding.communicate()
    assert left(tmp_path) == []


def test_what_another_machine_writes_goes_by_its_age(tmp_path: Path) -> None:
    young, old = (tmp_path / f".{name}.parquet.0000beef-1-2.x.part" for name in ("young", "old"))
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 2 * temporary_files.STALE,) * 2)
    temporary_files.sweep([young, old, tmp_path / "gone"])
    assert (young.exists(), old.exists()) == (True, False)


def test_a_number_that_another_process_has_now_is_no_sign_of_life() -> None:
    machine, number, started = temporary_files.tag().split("-")
    assert temporary_files.alive(f".x.{machine}-{number}-{started}.part") is True
    assert temporary_files.alive(f".x.{machine}-{number}-{int(started) - 1}.part") is False


def test_a_link_that_is_swept_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link = tmp_path / f".x.{temporary_files.tag().rpartition('-')[0]}-1.part"
    link.symlink_to(tmp_path / "kept")
    temporary_files.sweep([link])
    assert (link.is_symlink(), (tmp_path / "kept").is_dir()) == (False, True)


def test_a_disk_that_is_full_when_an_entry_is_closed_keeps_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)

    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def close(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def spoilt() -> None:
        with cache.writing("ab12", 1) as entry:
            entry.append("x", np.zeros(1))
            entry._files["x"].close()
            entry._files["x"] = Full(entry._files["x"])  # type: ignore[assignment]  # closes as a full disk does

    with pytest.raises(UserError, match="No space left"):
        spoilt()
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from pathlib import Path
from outfield.errors import UserError
from outfield.store import write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
for act in (lambda f: write.rows(f, "k", [row]), lambda f: write.begin(f, ["k" * 2000], "{}")):
    try:
        act(Path(sys.argv[1]))
    except UserError as error:
        print(error)
"""


def test_a_file_that_may_not_grow_is_a_users_mistake_and_leaves_nothing(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    said = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 2 and all("Free some space" in line for line in said)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_a_home_folder_the_cache_asks_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("OUTFIELD_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UserError, match=r"no home folder. Name one with \$OUTFIELD_CACHE"):
        caches.default_folder()


def test_copies_of_remote_files_are_gone_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    there = place("memory://unfinished/note.txt")
    there.write_text("x", encoding="utf-8")
    with copies([there]) as (here,):
        assert here.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
