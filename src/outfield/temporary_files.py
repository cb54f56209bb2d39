"""Unfinished files and work folders: their names say which process writes them.

What a process that ended has left may go at once; what a living one writes stays. Of a process on another machine, or
in another container, nobody here can tell: that goes by its age.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

STALE = 3600.0
"""Seconds after which an unfinished file is taken for one that a killed process left, where nobody can tell."""
_WRITER = re.compile(r"\.([0-9a-f]{8})-(\d+)-(\d+)\.")


def tag() -> str:
    """This process in a file's name, between two dots: its machine, its number, and when it started.

    Examples
    --------
    >>> alive(f"note.txt.{tag()}.part")
    True
    """
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def alive(name: str) -> bool | None:
    """Whether the process that a name tells of is at work; None where that cannot be told.

    Examples
    --------
    >>> alive("note.txt.0000beef-12-34.part") is None, alive(f"note.txt.{tag()[:8]}-{os.getpid()}-1.part")
    (True, False)
    """
    if not (found := _WRITER.search(name)) or found[1] != _machine():
        return None
    return _started(int(found[2])) == int(found[3])


@cache
def _machine() -> str:
    """This machine since it was started, and this container of it: where numbers of processes mean the same."""
    parts = [socket.gethostname(), _text("/proc/sys/kernel/random/boot_id")]
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _started(number: int) -> int:
    """When a process started, in ticks of its machine; 0 where that is not told, -1 where there is none."""
    if stated := _text(f"/proc/{number}/stat"):
        state, *rest = stated.rpartition(")")[2].split()
        return -1 if state in "ZX" else int(rest[18])
    if os.path.isdir("/proc/self"):
        return -1
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return -1
    except OSError:
        pass
    return 0


def sweep(paths: Iterable[Path]) -> None:
    """Remove unfinished files and folders whose process has ended, or that are old where nobody can tell."""
    for path in paths:
        with suppress(OSError):
            if _is_left(path):
                discard(path)


def _is_left(path: Path) -> bool:
    writes = alive(path.name)
    return path.lstat().st_mtime < time.time() - STALE if writes is None else not writes


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there; no link is followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def work_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """A folder in the temporary directory for as long as a block lasts; those of killed processes go first.

    Examples
    --------
    >>> with work_folder("copies") as folder:
    ...     inside = Path(folder).is_dir()
    >>> inside, Path(folder).exists()
    (True, False)
    """
    sweep(Path(tempfile.gettempdir()).glob("outfield-*.*-*-*.*"))
    return tempfile.TemporaryDirectory(prefix=f"outfield-{kind}.{tag()}.", ignore_cleanup_errors=True)
