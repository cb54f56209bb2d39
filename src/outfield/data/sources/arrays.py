from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.labels import unless_unlabelled
from outfield.data.limits import ARRAY_BYTES
from outfield.data.sources._files import existing
from outfield.data.sources._names import printable
from outfield.data.sources._rows import labelled
from outfield.errors import UserError, listed, reading
from outfield.places import home


@dataclass(frozen=True)
class Arrays(Source):
    """Pictures or feature vectors in a ``.npy`` file or in a ``.npz`` archive.

    Of an archive the named arrays alone are read. What lies uncompressed in its file is memory-mapped, of any size; a
    compressed array is unpacked into memory, and is refused before that where it is larger than 4 GiB
    (``OUTFIELD_MOST_ARRAY_BYTES``).

    Parameters
    ----------
    path : str
        The file of the items: [n, H, W], [n, H, W, C] (uint8, or float in [0, 1]) or [n, D].
    items : str, optional
        The name of the items in an archive; needed where it is not the only array beside the labels.
    labels : str, optional
        The name of the labels in the archive, or the path of a ``.npy`` file with them; None for no labels. They are
        numbers of classes or, as texts, their names; where all are -1, there are none.
    classes : tuple of str, optional
        Names of the classes 0, 1, ....

    Raises
    ------
    UserError
        No such file or array, an unreadable file, pickled objects, NaN, labels of another length; a compressed array
        that is too large.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/set.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    ...     len(Arrays(folder + "/set.npz", labels="labels").load())
    2
    """

    path: str
    items: str | None = None
    labels: str | None = None
    classes: tuple[str, ...] | None = None

    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})

    def files(self) -> tuple[Path, ...]:
        return tuple(
            home(name) for name in (self.path, self.labels) if name and (name == self.path or name[-4:] == ".npy")
        )

    def load(self) -> Dataset:
        path = existing(self.path, "file")
        if not _is_archive(path):
            return self._labelled(_mapped(path), None if self.labels is None else _file(self.labels))
        names = names_in(path)
        items = _member(path, self._chosen(names))
        return self._labelled(items, None if self.labels is None else self._labels(path, names))

    def _labelled(self, items: NDArray[Any], labels: NDArray[Any] | None) -> Dataset:
        """The items with their labels: numbers of classes, or, as texts, their names; none where all are -1."""
        if labels is None:
            return ArrayDataset(items, None, self.classes)
        if labels.dtype.kind in "US" and labels.ndim == 1 and len(labels) == len(items):
            found = labelled(labels.tolist(), self.classes, "refuse", self.path)
            return ArrayDataset(items[found.rows], found.numbers, found.classes, left_out=found.left_out)
        checked = ArrayDataset(items, labels, self.classes)
        if checked.labels is not None:
            checked.labels = unless_unlabelled(checked.labels)
        return checked

    def _chosen(self, names: tuple[str, ...]) -> str:
        others = [name for name in names if name != self.labels]
        name = self.items or (others[0] if len(others) == 1 else "images" if "images" in others else None)
        if name is None or name not in names:
            raise UserError(
                f"Expected an array {name or 'of items'} in {self.path}, but it has {_shown(names)}. "
                "Name the items with `items` and the labels with `labels`."
            )
        return name

    def _labels(self, path: Path, names: tuple[str, ...]) -> NDArray[Any]:
        if self.labels in names:
            return _member(path, self.labels)
        if self.labels and self.labels.endswith(".npy"):
            return _file(self.labels)
        raise UserError(
            f"Expected labels {self.labels!r} in {self.path}, but it has {_shown(names)}. Name one of these."
        )


def names_in(path: Path) -> tuple[str, ...]:
    """The names of the arrays of a ``.npz`` archive.

    Raises
    ------
    UserError
        It is damaged, or no archive.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return tuple(dict.fromkeys(name.removesuffix(".npy") for name in archive.namelist()))


def _shown(names: tuple[str, ...]) -> str:
    return printable(listed(names)) or "none"


def _file(name: str) -> NDArray[Any]:
    path = existing(name, "file")
    if _is_archive(path):
        raise UserError(f"Expected a .npy file of labels, but {path} is an archive. Name a .npy file.")
    return _mapped(path)


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    with reading(printable(str(path)), "arrays of numbers", "Save plain arrays with numpy.save or numpy.savez."):
        yield


@dataclass(frozen=True)
class _Header:
    """What a ``.npy`` file says of its array, before it is read."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, file: IO[bytes], path: Path) -> _Header:
        version = np.lib.format.read_magic(file)
        if version not in _READ:
            raise ValueError(f"it is of version {'.'.join(map(str, version))} of the format")
        shape, fortran, dtype = _READ[version](file)
        if dtype.hasobject:
            raise UserError(
                f"Expected arrays of numbers in {path}, but got pickled objects, which are never loaded. "
                "Save plain arrays with numpy.save or numpy.savez."
            )
        return cls(shape, fortran, dtype)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


_READ = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _mapped(path: Path, start: int = 0) -> NDArray[Any]:
    """The array that begins at a byte of a file, memory-mapped."""
    with _reading(path), path.open("rb") as file:
        file.seek(start)
        header = _Header.of(file, path)
        if not prod(header.shape):
            return np.zeros(header.shape, header.dtype)
        order: Literal["C", "F"] = "F" if header.fortran else "C"
        mapped: NDArray[Any] = np.memmap(path, header.dtype, "r", file.tell(), header.shape, order)
        return mapped


def _member(path: Path, name: str) -> NDArray[Any]:
    """One array of an archive: memory-mapped where it is stored as it is, else unpacked."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
        with archive.open(entry) as file:
            header = _Header.of(file, path)
            if header.bytes != entry.file_size - file.tell():
                raise ValueError(
                    f"{name} has {entry.file_size:,} bytes, shape {header.shape} of {header.dtype} another"
                )
            if entry.compress_type != zipfile.ZIP_STORED:
                return _unpacked(file, header, f"{path}:{name}")
            for _ in iter(partial(file.read, 2**20), b""):
                pass
    return _mapped(path, _start(path, entry))


def _unpacked(file: IO[bytes], header: _Header, where: str) -> NDArray[Any]:
    if header.bytes > ARRAY_BYTES():
        raise UserError(
            f"Expected an array that fits into memory at {printable(where)}, but unpacked it has "
            f"{ARRAY_BYTES.exceeded(header.bytes, 'bytes')}, or save it with numpy.save: that file is memory-mapped."
        )
    flat, end = np.empty(header.bytes, np.uint8), 0
    for block in iter(partial(file.read, 2**20), b""):
        flat[end : end + len(block)] = np.frombuffer(block, np.uint8)
        end += len(block)
    if end != header.bytes:
        raise ValueError("it ends too early")
    return flat.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where the content of a stored member begins: after its own header, a name and an extra field."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return entry.header_offset + 30 + name + extra
