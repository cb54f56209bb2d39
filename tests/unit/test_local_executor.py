"""Processes of this machine: they end with what started them, and are no end of it when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from outfield.errors import UserError
from outfield.studies.executors.base import Done, Notify
from outfield.studies.executors.local import Local

UNGUARDED = """
from functools import partial
from outfield.studies.executors.local import Local
for end in Local(processes=2, retries=0).run(partial(max, bytes(1 << 18)), [1, 2], print):
    print(end.reason)
"""

SLEEPING = """
import time
from outfield.studies.executors.local import Local

def work(task, notify):
    notify("asleep")
    time.sleep(1000)

if __name__ == "__main__":
    list(Local(processes=2).run(work, [1, 2], lambda said: print(said, flush=True)))
"""


def start(folder: Path, program: str) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        start_new_session=True,
    )


def said_by(running: subprocess.Popen[str]) -> str:
    """What a process said, and all that it started: the pipe is open until the last of them has ended."""
    try:
        return running.communicate(timeout=60)[0]
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def test_workers_that_die_while_they_start_are_told_of(tmp_path: Path) -> None:
    """They import the script that started them, which has no guard."""
    said = said_by(start(tmp_path, UNGUARDED))
    assert said.count('if __name__ == "__main__":') == 2
    assert not list(tmp_path.glob("outfield-*"))


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    running = start(tmp_path, SLEEPING)
    assert running.stdout
    assert running.stdout.readline() == "asleep\n"
    running.terminate()
    try:
        said_by(running)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert not list(tmp_path.glob("outfield-*"))


def nothing(task: int, notify: Notify) -> int:
    return torch.get_num_threads()


def test_one_process_leaves_the_threads_of_the_caller_alone() -> None:
    before = torch.get_num_threads()
    assert list(Local(processes=1, threads=before + 1).run(nothing, [0], print)) == [Done(0, before + 1)]
    assert torch.get_num_threads() == before


def test_work_that_cannot_be_written_down_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"for the workers .* No space left on device.* \$TMPDIR"):
        list(Local(processes=2).run(nothing, [0, 1], print))
