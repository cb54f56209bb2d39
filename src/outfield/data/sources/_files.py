"""Pictures in files: what every source that decodes encoded pictures shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.data.base import Items
from outfield.data.content_keys import item_key
from outfield.data.datasets import Rows, stack
from outfield.data.faults import Fault, Look
from outfield.data.limits import FILE_BYTES
from outfield.data.sources._decoding import Decoding, reason
from outfield.data.sources._names import printable
from outfield.errors import NotThere, UserError
from outfield.places import home

Broken = Literal["refuse", "leave out"]
SHOWN = 20
"""Broken pictures that a message names; the others are counted."""
_SHARE = 32


class FileDataset(Rows):
    """Encoded pictures, decoded when they are read.

    Parameters
    ----------
    names : path or name of each picture, as messages show it
    content : function from a row's number to the bytes of its file
    decoding : Decoding
    where : what the whole is called in messages
    beside : what lay beside the pictures and was passed over, in sentences
    """

    def __init__(
        self,
        names: Sequence[str],
        content: Callable[[int], bytes],
        decoding: Decoding,
        where: str,
        *,
        labels: ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        left_out: Sequence[str] = (),
        beside: Sequence[str] = (),
    ) -> None:
        shown = None if classes is None else [printable(name) for name in classes]
        super().__init__(len(names), labels, shown, left_out=left_out)
        self.content, self.decoding, self.where = content, decoding, printable(where)
        self.names = [printable(name) for name in names]
        self.beside = tuple(beside)

    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        pictures = self.tried(rows)
        if any(isinstance(picture, Fault) for picture in pictures):
            raise self._refused(self.broken())
        return stack(pictures)

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        """Of the files' bytes and the decoding: nothing is decoded for a key."""
        how = repr(self.decoding).encode()
        made = _in_threads(lambda row: _or_fault(lambda: item_key((self.content(row), how))), np.arange(len(self)))
        if faults := {row: key for row, key in enumerate(made) if isinstance(key, Fault)}:
            raise self._refused(faults)
        return np.array(made)

    def tried(self, rows: slice | NDArray[np.int64]) -> list[NDArray[np.uint8] | Fault]:
        return _in_threads(self._picture, self._where(rows))

    def looks(self, rows: slice | NDArray[np.int64]) -> list[Look]:
        return _in_threads(self._look, self._where(rows))

    def name_of(self, row: int) -> str:
        return self.names[row]

    def broken(self) -> dict[int, str]:
        """Every row whose picture cannot be decoded, and why. Reads all of them."""
        found = _in_threads(self._fault, np.arange(len(self)))
        return {row: fault for row, fault in enumerate(found) if fault}

    def settled(self, broken: Broken) -> FileDataset:
        """Itself; or, where broken pictures are to be left out, all pictures that can be decoded."""
        if broken == "refuse":
            return self
        if broken != "leave out":
            raise UserError(f"Expected broken to be 'refuse' or 'leave out', but got {broken!r}. Choose one of them.")
        faults = self.broken()
        if len(faults) == len(self):
            raise self._refused(faults)
        return self._without(faults) if faults else self

    def _without(self, faults: dict[int, str]) -> FileDataset:
        kept = np.setdiff1d(np.arange(len(self)), list(faults))
        return FileDataset(
            [self.names[row] for row in kept],
            _Kept(self.content, kept),
            self.decoding,
            self.where,
            labels=None if self.labels is None else self.labels[kept],
            classes=self.classes,
            left_out=[*self.left_out, *(f"{self.names[row]}: {fault}" for row, fault in faults.items())],
            beside=self.beside,
        )

    def _picture(self, row: int) -> NDArray[np.uint8] | Fault:
        picture: NDArray[np.uint8] | Fault = _or_fault(lambda: self.decoding(self.content(row)))
        return picture

    def _look(self, row: int) -> Look:
        read = _or_fault(lambda: self.decoding.notes(self.content(row)))
        return Look(fault=read) if isinstance(read, Fault) else Look.at(*read)

    def _fault(self, row: int) -> str:
        picture = self._picture(row)
        return picture if isinstance(picture, Fault) else ""

    def _refused(self, faults: Mapping[int, str]) -> UserError:
        return refusal(self.where, [f"{self.names[row]}: {fault}" for row, fault in faults.items()], len(self))


def refusal(where: str, faults: Sequence[str], count: int) -> UserError:
    """The error that names broken or absent pictures, the first of them by path, and counts them all."""
    shown = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
    more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return UserError(
        f"Expected pictures that can be read in {where}, but {len(faults)} of {count} cannot:{shown}{more}\n"
        "Mend these files, or set `broken: leave out` to go on without them."
    )


def by_folder(
    names: Sequence[str], where: str, classes: Sequence[str] | None
) -> tuple[list[int], list[int] | None, tuple[str, ...] | None]:
    """Rows to keep, their labels, and the class names, from names ``class/.../picture``.

    Names without a folder have no labels. With ``classes``, those alone are kept, numbered in that order.

    Raises
    ------
    UserError
        Some names have a folder and others none; or a class without a picture.
    """
    folders = [name.split("/")[0] if "/" in name else "" for name in names]
    if not any(folders):
        if classes is not None:
            raise UserError(f"Expected folders {', '.join(classes)} in {where}, but it has none. Leave `classes` out.")
        return list(range(len(names))), None, None
    if not all(folders):
        loose = names[folders.index("")]
        raise UserError(
            f"Expected every picture of {printable(where)} in a class folder, or none, but {loose!r} lies outside. "
            "Move it."
        )
    chosen = tuple(sorted(set(folders)) if classes is None else classes)
    if absent := [name for name in chosen if name not in set(folders)]:
        raise UserError(f"Expected pictures of every class in {where}, but found none of {', '.join(absent)}.")
    number = {name: place for place, name in enumerate(chosen)}
    rows = [row for row, folder in enumerate(folders) if folder in number]
    return rows, [number[folders[row]] for row in rows], chosen


@dataclass(frozen=True)
class Paths:
    """Bytes of regular files by number; ``OSError`` for pipes, devices, and files that are too large."""

    files: Sequence[Path]

    def __call__(self, row: int) -> bytes:
        file = self.files[row]
        about = file.stat()
        if not S_ISREG(about.st_mode):
            raise OSError("is no regular file")
        bounded(about.st_size)
        with file.open("rb") as stream:
            return stream.read(FILE_BYTES())


def bounded(size: int) -> None:
    """``OSError`` where a file has more bytes than an encoded picture may have."""
    if size > FILE_BYTES():
        raise OSError(f"is too large: {FILE_BYTES.exceeded(size, 'bytes')}")


@dataclass(frozen=True)
class _Kept:
    """Bytes of some of the rows."""

    content: Callable[[int], bytes]
    rows: NDArray[np.int64]

    def __call__(self, row: int) -> bytes:
        return self.content(int(self.rows[row]))


def existing(path: str, kind: Literal["file", "folder"]) -> Path:
    """The path, expanded; ``NotThere`` where there is no such file or folder."""
    found = home(path)
    if not (found.is_file() if kind == "file" else found.is_dir()):
        raise NotThere(f"Expected a {kind} at {printable(str(found))}, but there is none. Mend the path.")
    return found


def _in_threads(work: Callable[[int], Any], rows: NDArray[np.int64]) -> list[Any]:
    """The work of every row, in order; a thread takes ``_SHARE`` rows at a time."""

    def some(start: int) -> list[Any]:
        return [work(int(row)) for row in rows[start : start + _SHARE]]

    starts = range(0, len(rows), _SHARE)
    if len(starts) < 2:
        return [result for start in starts for result in some(start)]
    with ThreadPoolExecutor() as pool:
        return [result for results in pool.map(some, starts) for result in results]


def _or_fault(read: Callable[[], Any]) -> Any:
    """What is read, or a ``Fault``: a damaged file makes decoders raise whatever they like."""
    try:
        return read()
    except UserError:
        raise
    except Exception as error:
        return Fault(reason(error))
