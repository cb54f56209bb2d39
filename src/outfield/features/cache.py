"""The content-addressed cache: arrays on disk under the key of all that went into them.

An entry is a folder of ``.npy`` files and a sealed header with their checksums and its key. It is written under a
temporary name and renamed, so that a reader sees it whole or not at all; its checksums are verified the first time a
process opens it, and when its files look otherwise than before.

A cache on remote storage (``s3://...``) is shared by machines: each has a mirror of the entries that it made or asked
for, so that they are memory-mapped there as any other. A remote entry is there when its header is, which comes last.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import secrets
import shutil
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outfield import checksums, keys, temporary_files
from outfield.errors import OutfieldError, UserError
from outfield.places import absolute, fetch, is_remote, is_there, listed, place, put, remove, size

HEADER = "header.json"
SEALED = "cache"
"""What the seals of headers say they are."""
Looks: TypeAlias = "tuple[tuple[int, ...], ...]"
_BLOCK = 1 << 22
_UNFINISHED = re.compile(r"\.[0-9a-f]+\.([0-9a-f]{8}-\d+-\d+\.)?[a-z0-9_]{8}")
_MOST_FILES = 1 << 16
"""Open files to ask the system for: Linux maps no more."""


class DamagedEntry(OutfieldError):
    """A cache entry whose content is not what was written."""


class DamagedEntryWarning(UserWarning):
    """A damaged cache entry was found, and is made again."""


class Rows(Protocol):
    """An entry while it is written."""

    def append(self, name: str, chunk: NDArray[Any]) -> None:
        """Add rows to an array."""


class Entries(Protocol):
    """Arrays under content keys, wherever they are kept."""

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of an entry; None where there is none."""

    def writing(self, key: str, rows: int, **about: Any) -> AbstractContextManager[Rows]:
        """A new entry of ``rows`` rows, complete when the block ends."""

    def remove(self, key: str) -> None:
        """Forget an entry."""


@dataclass
class InMemory:
    """Entries in this process's memory, for values that nobody asks for again: those of a checkpoint.

    Examples
    --------
    >>> kept = InMemory()
    >>> with kept.writing("a1b2", rows=2) as entry:
    ...     entry.append("x", np.array([1.0, 4.0]))
    >>> kept.get("a1b2")["x"].tolist(), kept.get("c3d4")
    ([1.0, 4.0], None)
    """

    kept: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        return self.kept.get(key)

    @contextmanager
    def writing(self, key: str, rows: int, **about: Any) -> Iterator[Rows]:
        chunks = _Chunks()
        yield chunks
        self.kept[key] = {name: np.concatenate(some) for name, some in chunks.of.items()}

    def remove(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass
class _Chunks:
    of: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def append(self, name: str, chunk: NDArray[Any]) -> None:
        self.of.setdefault(name, []).append(np.array(chunk))


@dataclass
class Cache:
    """Entries of named arrays below one folder.

    Parameters
    ----------
    folder : path or address
        Where entries are; of an address, ``folder`` becomes the mirror on this machine and ``remote`` the address.

    Examples
    --------
    >>> import tempfile
    >>> cache = Cache(Path(tempfile.mkdtemp()))
    >>> with cache.writing("a1b2", rows=3, about="squares") as entry:
    ...     entry.append("x", np.array([1.0, 4.0]))
    ...     entry.append("x", np.array([9.0]))
    >>> cache.get("a1b2")["x"].tolist()
    [1.0, 4.0, 9.0]
    """

    folder: Path
    remote: Path | None = None
    _verified: dict[str, Looks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if is_remote(folder := place(self.folder)):
            self.folder, self.remote = _mirror_of(folder), folder

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of an entry, memory-mapped; None where there is none, or where it was damaged.

        A damaged entry is reported as a ``DamagedEntryWarning`` and removed, so that it is made again.
        """
        found = self._sound(key)
        if found is not None or self.remote is None or not self._fetch(self.remote / key):
            return found
        if (found := self._sound(key)) is None:
            remove(self.remote / key)
        return found

    def _sound(self, key: str) -> dict[str, NDArray[Any]] | None:
        """An entry on this machine."""
        try:
            return self._open(key)
        except FileNotFoundError:
            return None
        except DamagedEntry as error:
            warnings.warn(
                f"The cache entry {key} is damaged ({error}); it is made again.", DamagedEntryWarning, stacklevel=3
            )
            self._forget(key)
            return None
        except OSError as error:
            raise self._unreadable(key, error) from error

    def _fetch(self, entry: Path) -> bool:
        """Copy a remote entry to this machine; whether it was there."""
        files = listed(entry, "*") if is_there(entry / HEADER) else []
        if not files:
            return False
        here = self._temporary(entry.name)
        try:
            fetch(files, [here / file.name for file in files])
            self._publish(here, entry.name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unwritable(entry.name, error) from error
        finally:
            shutil.rmtree(here, ignore_errors=True)
        return True

    def __reduce__(self) -> tuple[type[Cache], tuple[Path]]:
        """What goes to another process or machine, which has its own mirror and its own current folder."""
        return Cache, (self.remote or absolute(self.folder),)

    def _open(self, key: str) -> dict[str, NDArray[Any]]:
        _allow_files()
        place = self.folder / key
        header = self.header(key)
        looks = _looks(place, header["checksums"])
        if self._verified.get(key) != looks:
            for name, crc in header["checksums"].items():
                _verify(place / f"{name}.npy", crc)
            self._verified[key] = looks
        return {name: _mapped(place / f"{name}.npy") for name in header["checksums"]}

    def header(self, key: str) -> dict[str, Any]:
        """What an entry says of itself; ``FileNotFoundError`` where there is none."""
        return _header(self.folder / key / HEADER, key)

    @contextmanager
    def writing(self, key: str, rows: int, **about: Any) -> Iterator[Entry]:
        """A new entry of ``rows`` rows, complete when the block ends; nothing is left of it when it fails."""
        entry = Entry(self._temporary(key), rows, key)
        try:
            yield entry
            entry.close(about)
            self._publish(entry.place, key)
            if self.remote is not None:
                for file in sorted((self.folder / key).iterdir(), key=lambda file: file.name == HEADER):
                    put(file, self.remote / key / file.name)
        except OSError as error:
            raise self._unwritable(key, error) from error
        finally:
            entry.drop()

    def _unwritable(self, key: str, error: OSError) -> UserError:
        return UserError(
            f"Expected to write the cache entry {key} in {self.folder}, but got: {error}. "
            "Free some space or choose another folder with $OUTFIELD_CACHE."
        )

    def _unreadable(self, key: str, error: OSError) -> UserError:
        advice = (
            "Run `ulimit -n 65536` before, or take fewer `resources.shards`: every array of a shard is an open file."
            if error.errno in (errno.EMFILE, errno.ENFILE)
            else "Ask for the right to read it, or choose another folder with $OUTFIELD_CACHE."
        )
        return UserError(
            f"Expected to read the cache entry {key} in {self.folder}, but got: {error.strerror or error}. {advice}"
        )

    def _temporary(self, key: str) -> Path:
        """A new folder, with the rights that the user gives new folders, so that others can read the entry."""
        folder = self._aside(key)
        _swept(self.folder)
        try:
            folder.mkdir(parents=True)
            return folder
        except OSError as error:
            raise UserError(
                f"Expected a folder to write the cache in, but {self.folder} cannot be written ({error.strerror}). "
                "Choose another with $OUTFIELD_CACHE."
            ) from None

    def _aside(self, key: str) -> Path:
        """A name for an entry while it is not whole."""
        return self.folder / f".{key}.{temporary_files.tag()}.{secrets.token_hex(4)}"

    def _publish(self, place: Path, key: str) -> None:
        try:
            place.rename(self.folder / key)
        except OSError:
            if not (self.folder / key / HEADER).exists():
                raise

    def remove(self, key: str) -> None:
        """Forget an entry, in a shared cache for all."""
        self._forget(key)
        if self.remote is not None:
            remove(self.remote / key)

    def _forget(self, key: str) -> None:
        self._verified.pop(key, None)
        aside = self._aside(key)
        with suppress(OSError):
            (self.folder / key).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def entries(self) -> list[tuple[str, dict[str, Any], int]]:
        """Key, what it is about, and bytes of every entry."""
        headers = listed(self.remote or self.folder, f"*/{HEADER}")
        return [(path.parent.name, _about(path), size(path.parent)) for path in headers]

    def clear(self) -> int:
        """Remove all entries, unfinished ones too, and nothing else; the bytes set free, in a shared cache there."""
        place = self.remote or self.folder
        before = size(place)
        for entry in self.folder.glob("*") if self.folder.is_dir() else ():
            if _UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry, ignore_errors=True)
            elif os.path.isfile(entry / HEADER):
                self._forget(entry.name)
        for header in listed(self.remote, f"*/{HEADER}") if self.remote is not None else ():
            self.remove(header.parent.name)
        return before - size(place)


class Entry:
    """An entry while it is written: arrays grow by appended rows, their checksums with them."""

    def __init__(self, place: Path, rows: int, key: str) -> None:
        self.place, self.rows, self.key = place, rows, key
        self._files: dict[str, BinaryIO] = {}
        self._checksums: dict[str, int] = {}

    def append(self, name: str, chunk: NDArray[Any]) -> None:
        """Add rows to an array; what cannot be written is an ``OSError``, never a killed process."""
        if name not in self._files:
            self._files[name] = (self.place / f"{name}.npy").open("wb")
            self._write(name, _npy_header((self.rows, *chunk.shape[1:]), chunk.dtype))
        self._write(name, np.ascontiguousarray(chunk).tobytes())

    def _write(self, name: str, content: bytes) -> None:
        self._files[name].write(content)
        self._checksums[name] = zlib.crc32(content, self._checksums.get(name, 0))

    def drop(self) -> None:
        """Close the files, and remove them where they were not published; a full disk is of no importance now."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def close(self, about: dict[str, Any]) -> None:
        """Write everything out, the header last."""
        for file in self._files.values():
            file.close()
        stated = {"checksums": self._checksums, "about": about}
        (self.place / HEADER).write_bytes(checksums.to_json(stated, SEALED, self.key))


def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    buffer = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def default_folder() -> Path:
    """``$OUTFIELD_CACHE``, a path or an address, or ``outfield`` in the user's cache folder."""
    given = os.environ.get("OUTFIELD_CACHE")
    return place(given) if given else users_folder()


def users_folder() -> Path:
    """``outfield`` in the user's cache folder on this machine."""
    if stated := os.environ.get("XDG_CACHE_HOME"):
        return Path(stated) / "outfield"
    try:
        return Path.home() / ".cache" / "outfield"
    except RuntimeError:
        raise UserError(
            "Expected a folder for the cache, but this user has no home folder. Name one with $OUTFIELD_CACHE."
        ) from None


def _mirror_of(remote: Path) -> Path:
    return users_folder() / "mirrors" / keys.key(address=str(remote))


def _header(path: Path, key: str) -> dict[str, Any]:
    try:
        sealed = checksums.check(content := path.read_bytes(), SEALED, key)
        loaded: Any = json.loads(content)
    except (ValueError, RecursionError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedEntry(f"its header cannot be read: {error}") from None
    except checksums.Broken as error:
        raise DamagedEntry(f"its header {error}") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("checksums"), dict):
        raise DamagedEntry("its header has no checksums")
    if not sealed:
        checksums.tell_of_earlier(path.parents[1], "headers of cache entries bear")
    return {**loaded}


def _about(header: Path) -> dict[str, Any]:
    try:
        return dict(_header(header, header.parent.name)["about"])
    except (DamagedEntry, KeyError, TypeError, ValueError):
        return {"damaged": True}


def _allow_files() -> None:
    """Let this process open as many files as the system grants: each mapped array keeps one open.

    Examples
    --------
    >>> _allow_files()
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@cache
def _swept(folder: Path) -> None:
    """Remove what killed processes have left of entries; looked at once by a process."""
    temporary_files.sweep(path for path in folder.glob(".*") if _UNFINISHED.fullmatch(path.name))


def _looks(place: Path, names: Iterable[str]) -> Looks:
    try:
        return tuple(checksums.stamp(place / f"{name}.npy") for name in sorted(names))
    except FileNotFoundError as error:
        raise DamagedEntry(f"{Path(error.filename).name}: {error.strerror}") from None


def _mapped(path: Path) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped


def _verify(path: Path, crc: int) -> None:
    try:
        found = _checksum(path)
    except FileNotFoundError as error:
        raise DamagedEntry(f"{path.name}: {error.strerror}") from None
    if found != crc:
        raise DamagedEntry(f"{path.name}: its checksum is {found:08x}, not {crc:08x}")


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc
