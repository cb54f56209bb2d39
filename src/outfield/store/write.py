"""Writing results: one Parquet file a job, under a temporary name, renamed when it is whole.

On an object store (``s3://...``) a file is written here, and put there in one piece. Every file is sealed
(``outfield.checksums``): one that is not as it was written is found when it is read.

A study's folder holds ``study.json`` (what the study is, and the keys of its jobs), ``rows/KEY.parquet``,
``scores/MODEL/KEY.parquet`` and ``models/``. The file's name is the job's key, so resuming is to skip what exists.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from outfield import checksums, temporary_files
from outfield.errors import UserError, reading
from outfield.places import copies, file_name, is_remote, listed, move, place, put, reaching
from outfield.store import schema
from outfield.store.machine import machine

MANIFEST = "study.json"
ROWS = "rows"
SCORES = "scores"
MODELS = "models"
SCORED = "scored"
"""Metadata of rows beside which scores are kept: the name of the model."""
DAMAGED = "damaged"
NOT_THE_FILES = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Why a file cannot be read although nothing is wrong with it."""


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


def write_text(text: str, path: Path | str) -> Path:
    r"""Write a page, or another text for a reader, whole or not at all: to a path, or an address (``s3://bucket/a.html``).

    Folders that are not there are made. Lines end as the text says; halves of characters, which a file's name may
    hold and UTF-8 may not, are written out.

    Raises
    ------
    UserError
        It cannot be written: a folder has its name, what should be its folder is a file, or may not be written, or
        cannot be reached, or the disk is full. What was there before stays.

    Examples
    --------
    >>> page = write_text("It shifts.", Path(tempfile.mkdtemp()) / "new" / "page.md")
    >>> page.read_text(), write_text("caf\udce9", page).read_text()
    ('It shifts.', 'caf\\udce9')
    """
    path = place(path)
    with reaching(path), atomically(path) as temporary:
        if path.is_dir():
            raise _is_folder(path)
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return path


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
        folder = Path(tempfile.gettempdir()) if is_remote(path) else path.parent
        _swept(folder)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.{temporary_files.tag()}.", suffix=".part", dir=folder)
    except OSError as error:
        raise _unwritable(path, error) from None
    os.fchmod(handle, 0o666 & ~_umask())
    os.close(handle)
    return Path(name)


@cache
def _swept(folder: Path) -> None:
    """Remove what killed processes have left in a folder; looked at once by a process."""
    temporary_files.sweep(folder.glob(".*.part"))


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
    if isinstance(error, IsADirectoryError):
        return _is_folder(path)
    do = "Check the address" if is_remote(path) else "Free some space, or choose a folder that you may write"
    return UserError(f"Expected to write {path}, but got: {error.strerror or error}. {do}; what is done already stays.")


def _is_folder(path: Path) -> UserError:
    return UserError(f"Expected to write a file {path}, but there is a folder of this name. Choose another name.")


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

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> begin(folder, ["cd34", "ab12"], '{"name": "demo"}')
    >>> stated(folder)["jobs"]
    ['ab12', 'cd34']
    """
    before, keys = stated(folder), sorted(keys)
    machines = sorted({*before.get("machines", ()), machine()})
    manifest = {"study": json.loads(study), "jobs": keys, "machines": machines}
    manifest |= {"data": dict(data)} if data else {}
    manifest |= {"unmeasured": unmeasured} if (unmeasured := sorted({*keys} & {*before.get("unmeasured", ())})) else {}
    _made(folder / ROWS)
    _state(folder, manifest)


def _state(folder: Path, manifest: Mapping[str, Any]) -> None:
    with atomically(folder / MANIFEST) as temporary:
        temporary.write_bytes(checksums.to_json(manifest, "study", "study"))


def leave_out(folder: Path, unmeasured: Iterable[str]) -> None:
    """Say in ``study.json`` which jobs have no rows since their detector does not apply to the model.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> begin(folder, ["ab12", "cd34"], '{"name": "demo"}')
    >>> leave_out(folder, ["cd34"])
    >>> stated(folder)["unmeasured"]
    ['cd34']
    """
    before = stated(folder)
    known = {*before.get("unmeasured", ())}
    if before and not known.issuperset(unmeasured):
        _state(folder, before | {"unmeasured": sorted(known.union(unmeasured))})


def stated(folder: Path) -> dict[str, Any]:
    """What ``study.json`` says, where it is there and as it was written.

    Examples
    --------
    >>> stated(Path("nowhere"))
    {}
    """
    with suppress(OSError, ValueError, RecursionError, checksums.Broken), reaching(folder):
        content = (folder / MANIFEST).read_bytes()
        checksums.check(content, "study", "study")
        found = json.loads(content)
        return found if isinstance(found, dict) else {}
    return {}


def _made(folder: Path) -> Path:
    if is_remote(folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def rows(folder: Path, key: str, rows: Iterable[Mapping[str, Any]], scored: str | None = None) -> Path:
    """Write the rows of one job as ``rows/KEY.parquet``; ``scored`` is the model whose scores the job has written.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full; no half file is left.
    OutfieldError
        A row does not fit the schema.

    Examples
    --------
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> path = rows(Path(tempfile.mkdtemp()), "ab12", [row])
    >>> path.name, pl.read_parquet(path)["value"].to_list(), whole(path)
    ('ab12.parquet', [0.9], True)
    """
    about = {SCORED: scored} if scored else {}
    return parquet(schema.frame(rows), folder / ROWS / f"{key}.parquet", ROWS, about)


def scores(folder: Path, model: str, key: str, table: pl.DataFrame) -> Path:
    """Write a job's scores of each sample as ``scores/MODEL/KEY.parquet``: columns set, part, row, score."""
    return parquet(schema.scores(table), scores_path(folder, model, key), SCORES)


def scores_path(folder: Path, model: str, key: str) -> Path:
    """Where a job's scores are; the model's name is made fit for a file name.

    Examples
    --------
    >>> scores_path(Path("results"), "PGD 2/255 seed 0", "ab12").as_posix()
    'results/scores/PGD 2%2F255 seed 0/ab12.parquet'
    """
    return folder / SCORES / file_name(model) / f"{key}.parquet"


def parquet(table: pl.DataFrame, path: Path, kind: str, about: Mapping[str, str] | None = None) -> Path:
    """Write a sealed Parquet file, whole or not at all; its name without the ending is what the seal calls it."""
    with atomically(path) as temporary:
        try:
            metadata = {**(about or {}), checksums.FIELD: checksums.blank(kind, path.stem)}
            table.write_parquet(temporary, compression="zstd", metadata=metadata)
        except pl.exceptions.PolarsError as error:
            raise OSError(str(error)) from error
        checksums.seal_file(temporary, kind, path.stem)
    return path


def done(folder: Path) -> set[str]:
    """Keys of the jobs whose rows are written, and whose scores are as they were written.

    A damaged file is moved to the folder ``damaged`` beside it, with a ``DamagedFileWarning``, so that its job is done
    again. What killed runs left is removed.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    >>> _ = rows(folder, "ab12", [row])
    >>> done(folder)
    {'ab12'}
    """
    place = folder / ROWS
    if not is_remote(place):
        temporary_files.sweep(place.glob(".*.part"))
    kept, spoilt = _sifted(listed(place, "*.parquet"), ROWS)
    scored, lost = _sifted(listed(folder / SCORES, "*/*.parquet"), SCORES)
    lost |= without_scores(folder, kept - scored).keys()
    for key in kept & lost:
        _set_aside(place / f"{key}.parquet", "is without its scores, which are damaged or gone")
    return kept - lost - spoilt


def without_scores(folder: Path, jobs: Iterable[str]) -> dict[str, str]:
    """Those of some jobs without a file of scores whose rows say that there was one: the job's key to its model."""
    files = [folder / ROWS / f"{job}.parquet" for job in sorted(jobs)]
    with copies(files) as here, reading(folder, "rows"):
        models = [pl.read_parquet_metadata(path).get(SCORED) for path in here]
    return {path.stem: model for path, model in zip(files, models, strict=True) if model}


def _sifted(files: Sequence[Path], kind: str) -> tuple[set[str], set[str]]:
    """The keys of sound files, and of damaged ones, which are moved aside."""
    with copies(files) as here:
        damaged = sift(files, here, kind)
    for path, why in damaged.items():
        _set_aside(path, why)
    return {path.stem for path in files if path not in damaged}, {path.stem for path in damaged}


def sift(files: Sequence[Path], here: Sequence[Path], kind: str, *, decode: bool = True) -> dict[Path, str]:
    """Damaged ones among a study's files of one kind, each with what is wrong with it, to follow "it".

    Files of earlier versions bear no seal: that is said once. With ``decode`` they are read through.

    Raises
    ------
    UserError
        A file may not be read, or no more files can be opened: that says nothing of what is in it.
    """
    damaged, earlier = {}, []
    for path, copy in zip(files, here, strict=True):
        try:
            if checksums.check_file(copy, kind, path.stem):
                continue
            earlier.append(path)
            _check_columns(copy, kind, decode=decode)
        except (checksums.Broken, UserError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NOT_THE_FILES:
                raise _unreadable(path, error) from error
            damaged[path] = str(error) if isinstance(error, checksums.Broken) else "cannot be read"
    if earlier := [path for path in earlier if path not in damaged]:
        checksums.tell_of_earlier(earlier[0].parent, f"{len(earlier):,} files bear")
    return damaged


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"Expected to read {path}, but got: {error.strerror}. Look at its rights, and at how many files may be open "
        "(ulimit -n)."
    )


def _check_columns(path: Path, kind: str, *, decode: bool) -> None:
    """Whether a file without a seal is of its kind; with ``decode``, every page of it is read."""
    with reading(path, "a table"):
        names = pl.read_parquet(path, glob=False).columns if decode else [*pl.read_parquet_schema(path)]
    needed = {ROWS: schema.NEEDED, SCORES: ("set", "row", "score")}.get(kind, ())
    if missing := sorted(set(needed) - set(names)):
        raise checksums.Broken(f"has no columns {', '.join(missing)}")


def whole(path: Path, kind: str = ROWS) -> bool:
    """Whether a Parquet file of a study is as it was written."""
    return not sift([path], [path], kind)


def _set_aside(path: Path, why: str) -> None:
    """Move a damaged file out of the way."""
    aside = set_aside(path)
    warnings.warn(
        f"The result file {path} is damaged: it {why}. It is now {aside}, and its job is done again.",
        DamagedFileWarning,
        stacklevel=5,
    )


def set_aside(path: Path) -> Path:
    """Where a file is now, moved to the folder ``damaged`` beside it."""
    aside = _made(path.parent / DAMAGED) / path.name
    with suppress(FileNotFoundError):
        move(path, aside) if is_remote(path) else path.replace(aside)
    return aside
