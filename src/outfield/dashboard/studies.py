"""What is served: the studies in a folder, each with its index and what was worked out of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from outfield.dashboard.revision_cache import Memo
from outfield.errors import OutfieldError, UserError
from outfield.store import query
from outfield.store.index import Index
from outfield.store.write import MANIFEST, ROWS

R = TypeVar("R")

AT_ONCE = 2000
"""New files that a request waits for; more are taken in beside it."""
PAUSE = 1.0
"""Seconds between two looks at a study's folder, at least."""
SHARE = 5.0
"""While a study runs, its displays are made anew no sooner than after so many times what making them took."""
QUIET = 600.0
"""Seconds without a new file after which an unfinished study is not taken for running."""
KEPT = 256
"""Displays and tables that are kept of one study."""
SELECTED = 8
"""Selections whose rows are kept of one study, for the displays that are asked for one after the other."""
TABLES = 12
"""Tables of scores that are kept of one study."""
TRACKED = ("vision", "task", "nli")


class Unknown(OutfieldError):
    """What was asked for is not there."""


class Indexing(OutfieldError):
    """The rows of a study are still being gathered: how many files are done, of how many."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"Gathering the rows of this study: {done:,} of {total:,} files. Ask again in a moment.")
        self.done, self.total = done, total


@dataclass
class Study:
    """A study's folder, its rows in one table, and what was worked out of them."""

    name: str
    folder: Path
    place: Path
    memo: Memo = field(default_factory=lambda: Memo(KEPT))
    tables: Memo = field(default_factory=lambda: Memo(TABLES))
    """Scores of models, and orders of them: each good for as long as its files stay."""
    selected: Memo = field(default_factory=lambda: Memo(SELECTED))
    """Rows of selections, which are large."""
    _looked: float = -PAUSE
    _pause: float = PAUSE
    _gathering: threading.Thread | None = None
    _to_gather: int = 0
    _closed: bool = False
    _trouble: str = ""
    _read: tuple[tuple[int, int], dict[str, Any]] | None = field(default=None, repr=False)
    _shown: int = -1
    _since: float = 0.0
    _spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def _index(self) -> Index:
        return Index(self.folder, self.place)

    @property
    def index(self) -> Index:
        """The rows, renewed where the folder changed.

        Raises
        ------
        Indexing
            Many files are new, and they are still being taken in.
        """
        with self._lock:
            if self._gathering and self._gathering.is_alive():
                left = len(self._index.ahead().new)
                raise Indexing(self._to_gather - left, self._to_gather)
            if self._trouble:
                said, self._trouble = self._trouble, ""
                raise UserError(said)
            if time.monotonic() - self._looked >= self._pause:
                self._look()
            return self._index

    def gathered(self) -> Iterator[Indexing]:
        """How far the gathering of rows is, again and again until it is done."""
        while True:
            try:
                self.index.damaged()
            except Indexing as ahead:
                yield ahead
            else:
                return

    def _look(self) -> None:
        start = time.monotonic()
        if self._looked < 0 and (ahead := len(self._index.ahead().new)) > AT_ONCE:
            self._to_gather = ahead
            self._gathering = threading.Thread(target=self._gather, daemon=True)
            self._gathering.start()
            raise Indexing(0, ahead)
        self._index.renew(AT_ONCE)
        self._looked = time.monotonic()
        self._pause = max(PAUSE, 5 * (self._looked - start))

    def _gather(self) -> None:
        try:
            while not self._closed and self._index.renew(AT_ONCE):
                pass
            self._looked = time.monotonic()
        except (UserError, duckdb.Error, OSError) as error:
            self._trouble = f"Expected to gather the rows of {self.name} in {self.place}, but got: {error}"

    def close(self) -> None:
        """Gather no more than the files at hand."""
        self._closed = True
        if self._gathering:
            self._gathering.join()

    def once(self, key: Hashable, make: Callable[[], R], memo: Memo | None = None) -> R:
        """What ``make`` gives, made once for the rows as they are, and kept in ``memo`` (default: with the displays).

        While a study runs, what took long to make stays for a while: the time that making takes is a small share.
        """
        return (memo or self.memo).get(self._moment(), key, lambda: self._timed(make))

    def peek(self, key: Hashable) -> Any:
        """What ``once`` made of a key for the rows as they are; None where it has not yet."""
        return self.memo.peek(self._moment(), key)

    def _moment(self) -> int:
        """The revision of the rows that is shown."""
        revision, now = self.index.revision, time.monotonic()
        with self._lock:
            if revision != self._shown and now - self._since >= SHARE * self._spent:
                self._shown, self._since, self._spent = revision, now, 0.0
            return self._shown

    def _timed(self, make: Callable[[], R]) -> R:
        start = time.monotonic()
        try:
            return make()
        finally:
            with self._lock:
                self._spent += time.monotonic() - start

    @property
    def _stated(self) -> dict[str, Any]:
        """``study.json``, read again when it changes."""
        try:
            state = (self.folder / MANIFEST).stat()
        except FileNotFoundError:
            return {"study": None, "jobs": None}
        key = state.st_mtime_ns, state.st_size
        if self._read is None or self._read[0] != key:
            self._read = key, query.manifest(self.folder)
        return self._read[1]

    @property
    def manifest(self) -> dict[str, Any]:
        """What ``study.json`` says of the study; empty where there is none."""
        return dict(self._stated.get("study") or {})

    @property
    def kind(self) -> str:
        """``trajectory`` where runs were followed over checkpoints, else ``study``."""
        if self.manifest:
            return "trajectory" if self.manifest.get("kind") in TRACKED else "study"
        tracked = self.index.ask("SELECT count(*) FROM rows WHERE step IS NOT NULL").item()
        return "trajectory" if tracked else "study"

    @property
    def progress(self) -> tuple[int, int]:
        """Jobs that are done, and all."""
        stated = self._stated
        try:
            done = self.index.done()
        except Indexing as gathering:
            done = gathering.total
        return done, done if stated.get("jobs") is None else len(query.wanted(stated))

    @property
    def running(self) -> bool:
        """Whether jobs are left, and one was done not long ago."""
        done, total = self.progress
        return done < total and time.time() - self.updated < QUIET

    @property
    def updated(self) -> float:
        """When the last rows were written, in seconds since 1970."""
        place = self.folder / ROWS
        return (place if place.is_dir() else self.folder).stat().st_mtime

    def outline(self) -> dict[str, Any]:
        """What the list of studies says of it."""
        (done, total), updated = self.progress, self.updated
        found = self.manifest
        return {
            "name": self.name,
            "title": found.get("title") or found.get("name") or self.name,
            "kind": self.kind,
            "done": done,
            "total": total,
            "running": self.running,
            "updated": datetime.fromtimestamp(updated, UTC).isoformat(timespec="seconds"),
        } | self._counts()

    def _counts(self) -> dict[str, int | None]:
        names = {"models": "model", "detectors": "detector", "sets": "ood"}
        try:
            return self.once("counts", lambda: self._counted(names))
        except (Indexing, UserError):
            return dict.fromkeys(names)

    def _counted(self, names: dict[str, str]) -> dict[str, int | None]:
        counted = ", ".join(f"count(DISTINCT {column}) AS {name}" for name, column in names.items())
        return dict(self.index.ask(f"SELECT {counted} FROM rows").row(0, named=True))


@dataclass
class Shelf:
    """The studies below one folder, or that folder where it is a study itself.

    Names come from listing the folder: what a request names is looked up, and never joined to a path.
    """

    folder: Path
    place: Path
    _known: dict[str, Study] = field(default_factory=dict)

    def studies(self) -> list[Study]:
        """Every study, by name; folders that lead elsewhere by a link are passed over."""
        found = {path.name: path for path in self._folders()}
        self._known = {name: self._known.get(name) or Study(name, path, self.place) for name, path in found.items()}
        return [self._known[name] for name in sorted(self._known)]

    def _folders(self) -> list[Path]:
        root = self.folder.resolve()
        if _is_study(root):
            return [root] if _stays(root, root) else []
        try:
            inside = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except OSError as error:
            raise UserError(
                f"Expected a folder of studies, but {self.folder} cannot be read ({error.strerror}). "
                "Pass the folder that `outfield run` writes to: outfield serve results/"
            ) from None
        return [path for path in inside if _is_study(path) and _stays(path, root)]

    def close(self) -> None:
        """End what works beside the requests."""
        for study in self._known.values():
            study.close()

    def study(self, name: str) -> Study:
        """The study of a name; ``Unknown`` where there is none."""
        if name not in self._known:
            self.studies()
        if name not in self._known:
            raise Unknown(f"Expected one of the studies here, but got {name!r}. Choose one from the list of studies.")
        return self._known[name]


def _stays(study: Path, root: Path) -> bool:
    """Whether neither a study's folder nor what stands in it at first sight leads out of the served folder."""
    return all(path.resolve().is_relative_to(root) for path in (study, *study.iterdir()))


def contained(folder: Path) -> bool:
    """Whether no link below a folder leads out of it.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> contained(place), (place / "link").symlink_to("/"), contained(place)
    (True, None, False)
    """
    root = folder.resolve()
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(here, name)
            if os.path.islink(path) and not Path(path).resolve().is_relative_to(root):
                return False
    return True


def _is_study(path: Path) -> bool:
    return (path / ROWS).is_dir() or (path / MANIFEST).is_file()
