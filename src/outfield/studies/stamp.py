"""How files looked, by size, number and times: what looks as it did was not touched, and need not be read again."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from outfield.data.folder_tree import Tree
from outfield.errors import UserError

SETTLED = 2.0
"""Seconds for which a file must have been left alone before it was read: file systems keep times as coarsely."""


@dataclass(frozen=True)
class Stamp:
    """How files looked: a digest of their paths, sizes, numbers and times, when one was last touched, all their bytes.

    ``settled`` is false where one was touched just before: it may be touched again without another time.
    """

    digest: str
    newest: int
    size: int
    settled: bool

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Stamp:
        """The stamp of files, of all that is below folders, of what patterns match, and of what is not there.

        Examples
        --------
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp())
        >>> before = Stamp.of([place, place / "absent"])
        >>> _ = (place / "picture.png").write_bytes(b"...")
        >>> Stamp.of([place, place / "absent"]) == before
        False
        """
        sha, newest, size, began = hashlib.sha256(), 0, 0, time.time_ns()
        for path, found in _looked_at(paths):
            seen = (found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns) if found else None
            sha.update(f"{path}\0{seen}\n".encode("utf-8", "surrogateescape"))
            newest, size = max(newest, *(seen or ())[2:], 0), size + (seen or (0,))[0]
        return cls(sha.hexdigest(), newest, size, newest < _latest(began))

    def settled_by(self, moment: int) -> bool:
        """Whether all files had been left alone for long enough at a moment, in nanoseconds since the epoch."""
        return self.newest < _latest(moment)


def _latest(moment: int) -> float:
    """When a file that is settled at a moment was last touched, at the latest."""
    return moment - SETTLED * 1e9


def _looked_at(paths: Iterable[Path]) -> Iterator[tuple[str, os.stat_result | None]]:
    for path in map(str, paths):
        found = _stat(path)
        if found is None:
            yield path, None
            yield from ((match, _stat(match)) for match in sorted(glob(path)))
        elif stat.S_ISDIR(found.st_mode):
            yield from _below(path)
        else:
            yield path, found


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _below(folder: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Every file below a folder, in one order; what Python compiled aside, and links followed once.

    A folder that cannot be read looks different every time.
    """
    try:
        names = Tree.below(Path(folder), skip=lambda name: name == "__pycache__").files
    except UserError:
        yield f"{folder} {time.time_ns()}", None
        return
    for path in (os.path.join(folder, name) for name in names):
        with suppress(OSError):
            yield path, os.stat(path)
