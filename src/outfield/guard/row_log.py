"""A log of rows in hourly Parquet files, written in the background: what goes wrong there fails nobody who adds rows.

The rows of the open hour are in an Arrow stream (``.arrows``), to which each block is appended: what a killed process
has written there is read, and becomes Parquet when the next one starts. A disk that is full, or a folder that cannot be
written, costs rows, which are counted, and nothing else. Files are in the order of rows, not of the clock, which may
go back.
"""

from __future__ import annotations

import fcntl
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from outfield.errors import UserError, reading
from outfield.store.write import atomically

BLOCK = 50
"""Rows that are written together, at least, where they come faster than one block in ``PATIENCE``."""
PATIENCE = 1.0
"""Seconds after which an open block is written."""
MOST = 1_000_000
"""Rows of one file."""
ADDRESS = {"run": pa.string(), "row": pa.int64(), "time": pa.timestamp("us", "UTC")}
"""Columns of every log: which process wrote a row, the row's number there, and when."""
Columns = Mapping[str, Sequence[Any]]


def now() -> datetime:
    return datetime.now(UTC)


class RowLog:
    """Rows that are written in the background.

    Parameters
    ----------
    folder : path
        Made where it is not there; one process writes into it.
    columns : mapping of name to Arrow type
        Beside run, row and time.
    waiting : int
        Additions that may wait to be written; rows beyond are lost, and counted.
    clock : callable
        The time, with a time zone.

    Raises
    ------
    UserError
        Another process writes into the folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> log = RowLog(folder, {"score": pa.float64()})
    >>> log.add({"score": [0.5, 0.7]})
    [0, 1]
    >>> log.close()
    >>> rows(folder)["score"].to_list()
    [0.5, 0.7]
    """

    def __init__(
        self,
        folder: Path,
        columns: Mapping[str, pa.DataType],
        *,
        waiting: int = 10_000,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.folder, self.run, self._clock = folder, secrets.token_hex(6), clock
        self._schema = pa.schema({**ADDRESS, **columns})
        self._queue: queue.Queue[Columns | None] = queue.Queue(waiting)
        self.added = self.written = self.lost = self.failures = 0
        self.failure = ""
        self._lock: BinaryIO | None = None
        self._order = 0
        self._open: _Hour | None = None
        self._tried(self._begin, of=OSError)
        self._thread = threading.Thread(target=self._work, name="row log", daemon=True)
        self._thread.start()

    def add(self, columns: Columns) -> list[int]:
        """Have rows written; their numbers. Never waits, never fails."""
        n = len(next(iter(columns.values())))
        numbers = list(range(self.added, self.added + n))
        self.added += n
        at = self._clock()
        try:
            self._queue.put_nowait({"run": [self.run] * n, "row": numbers, "time": [at] * n, **columns})
        except queue.Full:
            self._lose(n, "rows come faster than they can be written")
        return numbers

    def close(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        self._thread.join()
        self._tried(self._turn)
        if self._lock is not None:
            self._lock.close()

    def _lose(self, n: int, why: str) -> None:
        self.lost += n
        self.failures += 1
        self.failure = why

    def _tried(self, work: Callable[[], object], rows: int = 0, of: type[Exception] = Exception) -> bool:
        try:
            work()
        except of as error:
            self._lose(rows, str(error))
            return False
        return True

    def _begin(self) -> None:
        """Take the folder, and make Parquet of what killed processes have left."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self.folder)
        self._order = 1 + max((_order(path) for path in files(self.folder)), default=0)
        for left in self.folder.glob("*.arrows"):
            self._tried(partial(_to_parquet, left))

    def _work(self) -> None:
        going = True
        while going:
            going, parts = self._block()
            if parts:
                joined = {name: [one for part in parts for one in part[name]] for name in self._schema.names}
                self._write(joined)

    def _block(self) -> tuple[bool, list[Columns]]:
        """What to write next, and whether more may come."""
        parts: list[Columns] = []
        rows, due = 0, time.monotonic() + PATIENCE
        while rows < BLOCK:
            try:
                part = self._queue.get(timeout=max(due - time.monotonic(), 0.001))
            except queue.Empty:
                break
            if part is None:
                return False, parts
            parts.append(part)
            rows += len(part["row"])
        return True, parts

    def _write(self, columns: Columns) -> None:
        n = len(columns["row"])
        if self._tried(lambda: self._append(columns), n):
            self.written += n
            self.failure = ""
        elif self._open is not None:
            self._open.abandon()
            self._open = None

    def _append(self, columns: Columns) -> None:
        self._begin()
        hour = columns["time"][0].strftime("%Y%m%dT%H")
        if self._open is None or self._open.name != hour or self._open.rows >= MOST:
            self._turn()
            first = f"{self._order:06d}-{columns['row'][0]:012d}-{hour}.arrows"
            self._open = _Hour(self.folder / first, hour, self._schema)
        self._open.append(pa.RecordBatch.from_pydict(dict(columns), schema=self._schema))

    def _turn(self) -> None:
        """End the open file, and make Parquet of it."""
        if (ended := self._open) is not None:
            self._open = None
            ended.abandon()
            _to_parquet(ended.path)


@dataclass
class _Hour:
    """The open file."""

    path: Path
    name: str
    schema: pa.Schema
    rows: int = 0
    _file: Any = field(init=False)
    _writer: Any = field(init=False)

    def __post_init__(self) -> None:
        self._file = self.path.open("xb", buffering=0)
        self._writer = pa.ipc.new_stream(self._file, self.schema)

    def append(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self.rows += len(batch)

    def abandon(self) -> None:
        """Close it, whole or not: a reader takes what is whole."""
        for one in (self._writer, self._file):
            with suppress(OSError, pa.ArrowException):
                one.close()


def locked(folder: Path) -> BinaryIO:
    """A folder for this process alone, until what is given back is closed; ``UserError`` where another has it."""
    door = (folder / ".lock").open("ab")
    try:
        fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        door.close()
        raise UserError(
            f"Expected to be the one process that writes into {folder}, but another does. Give each its own folder."
        ) from None
    return door


def _order(path: Path) -> int:
    first = path.name.partition("-")[0]
    return int(first) if first.isdecimal() else 0


def _to_parquet(stream: Path) -> None:
    """Parquet in the place of an Arrow stream; of one that broke off, what is whole."""
    made = stream.with_suffix(".parquet")
    with stream.open("rb") as source:
        found = _batches(source)
        if not made.exists() and (first := next(found, None)) is not None:
            with atomically(made) as temporary, pq.ParquetWriter(temporary, first.schema, compression="zstd") as target:
                for table in _joined(first, found):
                    target.write_table(table)
    stream.unlink()


def _joined(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], most: int = 100_000) -> Iterator[pa.Table]:
    """Row groups of a size that is quickly read."""
    held, n = [first], len(first)
    for batch in rest:
        if n >= most:
            yield pa.Table.from_batches(held)
            held, n = [], 0
        held.append(batch)
        n += len(batch)
    yield pa.Table.from_batches(held)


def _batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    """The whole batches of a stream, to where it breaks off."""
    with suppress(pa.ArrowInvalid, OSError, EOFError):
        yield from pa.ipc.open_stream(source)


def files(folder: Path) -> list[Path]:
    """The files of a log, in the order of their rows."""
    whole = {path.stem: path for path in folder.glob("*.parquet")}
    return [path for _, path in sorted(({path.stem: path for path in folder.glob("*.arrows")} | whole).items())]


def rows(folder: Path, absent: pl.DataFrame | None = None) -> pl.DataFrame:
    """The rows of a log, in the order in which they were added, those of a process that runs too.

    Parameters
    ----------
    absent : frame, optional
        What is returned where nothing was written yet.

    Raises
    ------
    UserError
        No log, or a file of it that cannot be read.
    """
    if found := [frame for path in files(folder) if (frame := _frame(path)) is not None]:
        return pl.concat(found)
    if absent is None:
        raise UserError(f"Expected a log in {folder}, but there is none. Pass the folder given to --audit.")
    return absent


def _frame(path: Path) -> pl.DataFrame | None:
    whole = path.with_suffix(".parquet")
    with reading(path, "a log"):
        try:
            with path.open("rb") as source:
                batches = [] if path == whole else list(_batches(source))
        except FileNotFoundError:  # the process that writes it has made Parquet of it
            path = whole
        if path == whole:
            return pl.read_parquet(path, glob=False)
    found = pl.from_arrow(batches) if batches else None
    assert not isinstance(found, pl.Series)
    return found
