"""One table of a study's many row files, for readers that ask often: derived, renewed by what changed.

A study writes a Parquet file a job, tens of thousands of them. Here they are gathered in one DuckDB file outside the
study's folder, which is only read. The index is keyed by the set of files: one that is new, gone or changed is taken
in, taken out or taken in again, and the others are left alone. It may be deleted at any time: it is made again.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import polars as pl

from outfield import keys
from outfield.checksums import SETTLED
from outfield.errors import UserError
from outfield.store import query
from outfield.store.schema import COLUMNS, SCORE_COLUMNS, absent
from outfield.store.settings import titles
from outfield.store.write import MANIFEST, ROWS, sift
from outfield.temporary_files import work_folder

VERSION = 4
"""Of the index's own tables; one of another version is made again."""
BATCH = 256
"""Files that are taken in together."""
MEMORY = "2GB"
"""What the database may hold in memory; what is larger goes to disk beside it."""
LOCKED = "Could not set lock"
"""What DuckDB says of a file that another process has open."""
_TYPES = {"String": "VARCHAR", "Int64": "BIGINT", "Float64": "DOUBLE", "Boolean": "BOOLEAN"}

Found: TypeAlias = "dict[str, tuple[int, int]]"
"""Job to size and time of change of its file."""


@dataclass(frozen=True)
class Ahead:
    """What a renewal has to do: files to take out, files to take in."""

    gone: tuple[str, ...]
    new: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.gone) + len(self.new)


@dataclass
class Index:
    """The rows of one study's folder in one table.

    Where a detector was measured with several settings each has a name; ``method`` is the one that all of them share.

    Parameters
    ----------
    folder : path
        The study's folder; it is read and never written.
    place : path
        Where indexes are kept; created when absent.

    Examples
    --------
    >>> from outfield.store import write
    >>> folder, place = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> _ = write.rows(folder, "ab12", [row])
    >>> index = Index(folder, place)
    >>> index.renew(), index.ask("SELECT job, model, value FROM rows").rows()
    (True, [('ab12', 'm', 0.9)])
    >>> index.renew()
    False
    """

    folder: Path
    place: Path
    revision: int = 0
    """Grows whenever the rows changed: what is derived from them is good for one revision."""
    own: bool = False
    """Whether it lies in a temporary file, since another process has the index of this folder open."""
    _seen: tuple[int, int] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        path = self.place / f"{keys.key(folder=str(self.folder.resolve()), version=VERSION)}.duckdb"
        self._base = self._opened(path)

    def _opened(self, path: Path) -> duckdb.DuckDBPyConnection:
        try:
            return _connected(path)
        except duckdb.Error as error:
            if LOCKED not in str(error):
                _remove(path)
                return _connected(path)
        self.own, self._temporary = True, work_folder("index")
        return _connected(Path(self._temporary.name) / path.name)

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()
        if self._temporary:
            self._temporary.cleanup()

    def ahead(self) -> Ahead:
        """What ``renew`` would do now."""
        return self._ahead(self._listed())

    def _ahead(self, found: Found) -> Ahead:
        known = {job: (size, changed) for job, size, changed in self._files()}
        new = tuple(sorted(job for job, state in found.items() if known.get(job) != state))
        return Ahead(tuple(sorted(job for job in known if found.get(job) != known[job])), new)

    def _files(self) -> list[tuple[str, int, int]]:
        return self._base.cursor().execute("SELECT job, size, changed FROM files").fetchall()

    def renew(self, limit: int | None = None) -> bool:
        """Take in what changed in the folder since the last time; whether anything had.

        Parameters
        ----------
        limit : int, optional
            At most so many files in this call; call again for the others.

        Raises
        ------
        UserError
            ``study.json`` is no JSON.
        """
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            found = self._listed()
            ahead = self._ahead(found)
            new = ahead.new[:limit]
            if len(ahead):
                self._take_out(ahead.gone)
                for start in range(0, len(new), BATCH):
                    self._take_in(new[start : start + BATCH], found)
                self._tell_apart()
                self.revision += 1
            settled = time.time_ns() - max(stamp) > SETTLED and len(new) == len(ahead.new)
            self._seen = stamp if settled else None
            return bool(len(ahead))

    def _stamp(self) -> tuple[int, int]:
        """When the folder of rows and the manifest last changed, in nanoseconds."""
        return _changed(self.folder / ROWS), _changed(self.folder / MANIFEST)

    def _listed(self) -> Found:
        """The row files of the study's jobs; links that lead out of the folder are passed over."""
        jobs = query.manifest(self.folder)["jobs"]
        wanted = None if jobs is None else set(jobs)
        return {job: state for job, state in _row_files(self.folder) if wanted is None or job in wanted}

    def _take_out(self, jobs: Sequence[str]) -> None:
        for start in range(0, len(jobs), BATCH):
            with self._transaction() as connection:
                for table in ("rows", "files"):
                    connection.execute(
                        f"DELETE FROM {table} WHERE job IN (SELECT unnest(?))", [jobs[start : start + BATCH]]
                    )

    def _take_in(self, jobs: Sequence[str], found: Found) -> None:
        """A batch of files; where that fails, each alone, so that a damaged one is known by name."""
        paths = [self.folder / ROWS / f"{job}.parquet" for job in jobs]
        damaged = sift(paths, paths, ROWS, decode=False)
        for path, why in damaged.items():
            self._note(path.stem, found[path.stem], why)
        if not (jobs := [path.stem for path in paths if path not in damaged]):
            return
        try:
            self._insert(jobs, found)
        except duckdb.Error:
            for job in jobs:
                try:
                    self._insert([job], found)
                except duckdb.Error as error:
                    self._note(job, found[job], str(error).partition("\n")[0])

    def _insert(self, jobs: Sequence[str], found: Found) -> None:
        paths = [escape(str(self.folder / ROWS / f"{job}.parquet")) for job in jobs]
        columns = ", ".join(map(query.quoted, COLUMNS))
        files = (
            "read_parquet(?, union_by_name = true, filename = true, file_row_number = true, hive_partitioning = false)"
        )
        with self._transaction() as connection:
            present = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {files}", [paths]).fetchall()]
            connection.execute(
                f"INSERT INTO rows SELECT parse_filename(filename, true), file_row_number, {columns}, detector "
                f"FROM (SELECT *{absent(present)} FROM {files})",
                [paths],
            )
            states = [[job, *found[job]] for job in jobs]
            columns_of_files = [list(column) for column in zip(*states, strict=True)]
            connection.execute("INSERT INTO files SELECT unnest(?), unnest(?), unnest(?), NULL", columns_of_files)

    def _tell_apart(self) -> None:
        """Give every setting of a detector that was measured with several its own name."""
        asked = "SELECT DISTINCT model, run, step, method AS detector, params, role FROM rows WHERE method IS NOT NULL"
        known = titles(self.ask(asked))
        with self._transaction() as connection:
            connection.execute("UPDATE rows SET detector = method WHERE detector <> method")
            for (method, params), title in known.items():
                connection.execute(
                    "UPDATE rows SET detector = ? WHERE method = ? AND params = ?", [title, method, params]
                )

    def _note(self, job: str, state: tuple[int, int], problem: str) -> None:
        self._base.cursor().execute("INSERT INTO files VALUES (?, ?, ?, ?)", [job, *state, problem])

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._base.cursor()
        connection.begin()
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read, by name: they are left out until they change."""
        found = self._base.cursor().execute("SELECT job FROM files WHERE problem IS NOT NULL ORDER BY job").fetchall()
        return tuple(f"{job}.parquet" for (job,) in found)

    def written(self, most: int) -> list[tuple[str, float]]:
        """Jobs and when their files were written, in seconds since 1970, the latest first."""
        asked = "SELECT job, changed / 1e9 FROM files WHERE problem IS NULL ORDER BY changed DESC, job LIMIT ?"
        return self._base.cursor().execute(asked, [most]).fetchall()

    def done(self) -> int:
        """How many jobs have rows."""
        (found,) = self._base.cursor().execute("SELECT count(*) FROM files WHERE problem IS NULL").fetchall()
        return int(found[0])

    def ask(self, statement: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """What a SQL statement over the table ``rows`` gives; values go in as parameters (``?``), never as text."""
        return query.framed(self._base.cursor().sql(statement, params=list(parameters)))

    def scores(self, path: Path) -> pl.DataFrame:
        """The scores of each sample in one file: columns set, part, row, score.

        Raises
        ------
        UserError
            It is not there, or damaged.
        """
        names = ", ".join(f'"{name}"' for name in SCORE_COLUMNS)
        query.check_scores([path], [path])
        try:
            return self.ask(f"SELECT {names} FROM read_parquet(?, hive_partitioning = false)", [escape(str(path))])
        except (duckdb.Error, pl.exceptions.PolarsError) as error:
            raise UserError(f"Expected scores in {path.name}, but got: {error}. Run the study again.") from None

    def pieces(self, statement: str, parameters: Sequence[Any] = (), size: int = 50_000) -> Iterator[pl.DataFrame]:
        """The same in pieces of about ``size`` rows, for what is too large for memory."""
        reader = self._base.cursor().sql(statement, params=list(parameters)).to_arrow_reader(size)
        yield from (pl.DataFrame(batch) for batch in reader)


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    """The database at a path with its tables; ``duckdb.Error`` where any part of it is damaged."""
    base = duckdb.connect(str(path))
    try:
        base.execute(f"SET memory_limit = '{MEMORY}'")
        base.execute("CREATE TABLE IF NOT EXISTS files (job VARCHAR, size BIGINT, changed BIGINT, problem VARCHAR)")
        columns = ", ".join(f"{query.quoted(name)} {_TYPES[str(kind)]}" for name, kind in COLUMNS.items())
        base.execute(f"CREATE TABLE IF NOT EXISTS rows (job VARCHAR, number BIGINT, {columns}, method VARCHAR)")
        _read_through(base)
    except duckdb.Error:
        base.close()
        raise
    return base


def _read_through(base: duckdb.DuckDBPyConnection) -> None:
    """Read every value, so that DuckDB compares the checksums of all blocks: about 0.1 s a million rows.

    A count is not enough: it comes from the head of the file.
    """
    for table in ("files", "rows"):
        base.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {table}").fetchall()


def _remove(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}.wal")):
        each.unlink(missing_ok=True)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _row_files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    root = folder.resolve()
    with suppress(FileNotFoundError), os.scandir(folder / ROWS) as entries:
        for entry in entries:
            if not entry.name.endswith(".parquet") or entry.name.startswith("."):
                continue
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat()
                yield entry.name.removesuffix(".parquet"), (stat.st_size, stat.st_mtime_ns)
