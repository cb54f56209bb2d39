"""Writing results: one Parquet file a job, under a temporary name, renamed when it is whole.

On an object store (``s3://...``) a file is written here, and put there in one piece.

A study's folder holds ``study.json`` (what the study is, and the keys of its jobs), ``rows/KEY.parquet``,
``scores/MODEL/KEY.parquet`` and ``models/``. The file's name is the job's key, so resuming is to skip what exists.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from outfield.errors import UserError
from outfield.places import copies, is_remote, listed, move, put, reaching
from outfield.store import schema
from outfield.store.machine import machine

MANIFEST = "study.json"
ROWS = "rows"
SCORES = "scores"
DAMAGED = "damaged"
STALE = 3600.0
"""Seconds after which an unfinished file is taken for one that a killed run left."""


class DamagedFileWarning(UserWarning):
    """A result file is not what was written; it was moved aside, or left out of what was read."""


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, moved onto it when the block ends; nothing is left when the block fails.

    The file is on the disk, not only in its cache, before it gets its name. For a remote ``path`` the temporary one
    is on this machine.

    Raises
    ------
    UserError
        The folder cannot be written or reached, or the disk is full.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "deep" / "note.txt"
    >>> with atomically(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('whole', 1)
    """
    temporary = _temporary(path)
    try:
        yield temporary
        _publish(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path) -> None:
    if is_remote(path):
        put(temporary, path)
        return
    _synced(temporary)
    temporary.replace(path)
    _synced(path.parent)


def _temporary(path: Path) -> Path:
    try:
        if not is_remote(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        folder = None if is_remote(path) else path.parent
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=folder)
    except OSError as error:
        raise _unwritable(path, error) from None
    os.fchmod(handle, 0o666 & ~_umask())
    os.close(handle)
    return Path(name)


@cache
def _umask() -> int:
    """What new files of this user may not be: the temporary file's own rights are the user's alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"Expected to write {path}, but got: {error.strerror or error}. "
        "Free some space, or choose a folder that you may write; what is done already stays."
    )


def begin(folder: Path, keys: Iterable[str], study: str, data: Mapping[str, str] | None = None) -> None:
    """Make a study's folder and say in ``study.json`` what the study is, which jobs make it, and on which machines.

    Readers take the rows of these jobs alone: files of an earlier form of the study are kept, but not mixed in.

    Parameters
    ----------
    folder : path
    keys : iterable of str
        The keys of all jobs of the study, done or not.
    study : str
        The study as JSON.
    data : mapping of str to str, optional
        Data sets that inputs are scored of, and the digests of what these jobs measure.

    Raises
    ------
    UserError
        The folder cannot be written.
    """
    machines = sorted({*_machines(folder), machine()})
    manifest = {"study": json.loads(study), "jobs": sorted(keys), "machines": machines}
    manifest |= {"data": dict(data)} if data else {}
    _made(folder / ROWS)
    with atomically(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def _machines(folder: Path) -> list[str]:
    """Machines that worked on the study before."""
    with suppress(OSError, ValueError), reaching(folder):
        return list(json.loads((folder / MANIFEST).read_bytes()).get("machines", ()))
    return []


def _made(folder: Path) -> Path:
    if is_remote(folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def rows(folder: Path, key: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the rows of one job as ``rows/KEY.parquet``.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full; no half file is left.
    OutfieldError
        A row does not fit the schema.
    """
    return _parquet(schema.frame(rows), folder / ROWS / f"{key}.parquet")


def scores(folder: Path, model: str, key: str, table: pl.DataFrame) -> Path:
    """Write a job's scores of each sample as ``scores/MODEL/KEY.parquet``: columns set, part, row, score."""
    return _parquet(schema.scores(table), scores_path(folder, model, key))


def scores_path(folder: Path, model: str, key: str) -> Path:
    """Where a job's scores are; the model's name is made fit for a file name.

    Examples
    --------
    >>> scores_path(Path("results"), "PGD 2/255 seed 0", "ab12").as_posix()
    'results/scores/PGD 2%2F255 seed 0/ab12.parquet'
    """
    return folder / SCORES / quote(model, safe=" ()+,=@") / f"{key}.parquet"


def _parquet(table: pl.DataFrame, path: Path) -> Path:
    with atomically(path) as temporary:
        try:
            table.write_parquet(temporary, compression="zstd")
        except pl.exceptions.PolarsError as error:
            raise OSError(str(error)) from error
    return path


def done(folder: Path) -> set[str]:
    """Keys of the jobs whose rows are written.

    A file that is no whole Parquet file is moved to ``rows/damaged``, with a ``DamagedFileWarning``, so that its job
    is done again. Temporary files that a killed run left an hour ago or more are removed.
    """
    place = folder / ROWS
    for left in [] if is_remote(place) else place.glob(".*.part"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - STALE:
                left.unlink()
    files = listed(place, "*.parquet")
    with copies(files) as here:
        sound = list(map(whole, here))
    return {path.stem for path, is_whole in zip(files, sound, strict=True) if is_whole or _set_aside(path)}


def whole(path: Path) -> bool:
    """Whether a file is a Parquet file from its first byte to its last, every page readable."""
    try:
        return pl.read_parquet(path, glob=False).height >= 0
    except (pl.exceptions.PolarsError, OSError):
        return False


def _set_aside(path: Path) -> bool:
    """Move a damaged file out of the way; False, for it is not done."""
    aside = _made(path.parent / DAMAGED) / path.name
    move(path, aside) if is_remote(path) else path.replace(aside)
    warnings.warn(
        f"The result file {path} is damaged. It is now {aside}, and its job is done again.",
        DamagedFileWarning,
        stacklevel=3,
    )
    return False
