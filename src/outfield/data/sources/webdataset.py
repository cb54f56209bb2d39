from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from glob import glob
from itertools import islice
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.labels import unless_unlabelled
from outfield.data.limits import SHARDS
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import Broken, FileDataset, bounded
from outfield.data.sources._names import has_foreign, is_picture, passed_over, printable
from outfield.errors import UserError, listed, reading
from outfield.places import home


@dataclass(frozen=True)
class Webdataset(Source):
    """Pictures in WebDataset's shards: uncompressed tar archives whose files share a key, ``key.jpg`` and ``key.cls``.

    The shards are indexed once, then read in any order. The label is the whole number in ``key.cls``, or the entry
    ``label`` of ``key.json``. Hidden files and folders and an operating system's own are passed over.

    Parameters
    ----------
    path : str
        One shard, a pattern with ``*``, or a range ``set-{000..011}.tar``.
    label : str
        The extension or the entry of ``key.json`` that holds the label.
    classes : tuple of str, optional
        Names of the classes 0, 1, ....
    channels, side, upright, broken : see ``Folder``

    Raises
    ------
    UserError
        No such shard, a compressed or damaged one, no picture, one name twice, labels for some pictures only; broken
        pictures.

    Examples
    --------
    >>> import tempfile
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (4, 4)).save(folder + "/one.png")
    ...     _ = Path(folder, "one.cls").write_text("3")
    ...     with tarfile.open(folder + "/set-0.tar", "w") as shard:
    ...         for name in ("one.png", "one.cls"):
    ...             shard.add(f"{folder}/{name}", name)
    ...     data = Webdataset(folder + "/set-{0..0}.tar").load()
    ...     data.labels, data.read(slice(None)).shape
    (array([3]), (1, 4, 4, 1))
    """

    path: str
    label: str = "cls"
    classes: tuple[str, ...] | None = None
    channels: int | None = None
    side: int | None = None
    upright: bool = False
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return tuple(map(Path, _ranged(self.path)))

    def load(self) -> Dataset:
        shards = [_Shard.of(path) for path in _shards(self.path)]
        pictures = [sample for shard in shards for sample in shard.samples.values() if sample.picture]
        if not pictures:
            raise UserError(f"Expected pictures in {self.path}, but found none. Point it to shards of pictures.")
        whole = FileDataset(
            [f"{sample.shard}:{sample.key}" for sample in pictures],
            _Slices([sample.slice_of(sample.picture) for sample in pictures]),
            Decoding(self.channels, self.side, self.upright),
            self.path,
            labels=self._labels(pictures),
            classes=self.classes,
            beside=passed_over((name for shard in shards for name in shard.foreign), ()),
        )
        return whole.settled(self.broken)

    def _labels(self, samples: list[_Sample]) -> NDArray[np.int64] | None:
        labels = [_label(sample, self.label) for sample in samples]
        absent = [
            f"{sample.shard}:{sample.key}" for sample, label in zip(samples, labels, strict=True) if label is None
        ]
        if 0 < len(absent) < len(labels):
            raise UserError(
                f"Expected a label for every picture of {self.path}, or for none, but {len(absent)} have none, "
                f"the first {printable(absent[0])}. Mend the shards."
            )
        return None if absent else unless_unlabelled(np.array(labels, dtype=np.int64))


@dataclass
class _Sample:
    """The files of one key: extension to place and size in the shard."""

    shard: Path
    key: str
    files: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def picture(self) -> str:
        """The extension of the picture: the plainest, ``jpg`` before ``seg.png``."""
        pictures = [extension for extension in self.files if is_picture(f"x.{extension}")]
        return min(pictures, key=lambda extension: extension.count("."), default="")

    def slice_of(self, extension: str) -> tuple[Path, int, int]:
        return (self.shard, *self.files[extension])

    def __str__(self) -> str:
        return printable(f"{self.shard}:{self.key}")


@dataclass
class _Shard:
    """The samples of one archive by key, and the files of operating systems in it."""

    path: Path
    samples: dict[str, _Sample] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> _Shard:
        shard = cls(path)
        do = "Unpack it if it is compressed, else get it again."
        with reading(printable(str(path)), "an uncompressed tar archive", do), path.open("rb") as file:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    shard.note(member)
            _check_end(file, archive.offset)
        return shard

    def note(self, member: tarfile.TarInfo) -> None:
        """A file, or a hard link to one before it, of a sample."""
        name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
        if member.issparse() or member.size < 0:
            raise ValueError(f"{name!r} is a sparse file, or its size is negative")
        if ".." in name.split("/"):
            raise ValueError(f"{name!r} leads out of it")
        place = self.places.get(member.linkname) if member.islnk() else (member.offset_data, member.size)
        if has_foreign(name):
            self.foreign.append(name)
        elif place is not None and (member.isfile() or member.islnk()):
            self.places[member.name] = place
            self._add(name, place)

    def _add(self, name: str, place: tuple[int, int]) -> None:
        folder, _, file = name.rpartition("/")
        stem, _, extension = file.partition(".")
        key = f"{folder}/{stem}".lstrip("/")
        sample = self.samples.setdefault(key, _Sample(self.path, key))
        if extension.lower() in sample.files:
            raise ValueError(f"it has two files {name!r}")
        sample.files[extension.lower()] = place


def _check_end(file: BinaryIO, offset: int) -> None:
    """``ValueError`` unless nothing but zeros follows where ``tarfile`` stopped: it stops in silence at damage."""
    file.seek(offset)
    for block in iter(partial(file.read, 2**20), b""):
        if block.strip(b"\0"):
            raise ValueError(f"it is damaged at byte {offset:,}, and what follows cannot be read")


@dataclass(frozen=True)
class _Slices:
    """Bytes of slices of files by number."""

    slices: list[tuple[Path, int, int]]

    def __call__(self, row: int) -> bytes:
        path, start, size = self.slices[row]
        bounded(size)
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise OSError(f"holds {len(content):,} bytes where the archive states {size:,}")
        return content


def _shards(pattern: str) -> list[Path]:
    names = _named(pattern)
    absent = [printable(name) for name in names if not Path(name).is_file()]
    if absent:
        raise UserError(f"Expected shards {pattern}, but there is no {listed(absent)}. Mend the path.")
    return [Path(name) for name in names]


def _named(pattern: str) -> list[str]:
    return [name for one in _ranged(pattern) for name in ([] if Path(one).is_file() else sorted(glob(one))) or [one]]


def _ranged(pattern: str) -> list[str]:
    """The names that a pattern's ranges stand for."""
    names = list(islice(_expanded(str(home(pattern))), SHARDS() + 1))
    if len(names) > SHARDS():
        raise UserError(
            f"Expected at most {SHARDS():,} shards, but {pattern} names more. "
            f"Mend its range, or set ${SHARDS.variable}."
        )
    return names


def _expanded(pattern: str) -> Iterator[str]:
    found = re.search(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}", pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{pattern[: found.start()]}{number:0{len(first)}}{pattern[found.end() :]}")


def _label(sample: _Sample, name: str) -> int | None:
    with reading(sample, f"a number as the label {name!r}", "Mend it."):
        if name in sample.files:
            return _whole(_text(sample, name))
        entry = json.loads(_text(sample, "json")).get(name) if "json" in sample.files else None
        return None if entry is None else _whole(entry)


def _whole(value: str | float) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{value} is no whole number")
    if abs(number := int(value)) >= 2**62:
        raise ValueError(f"{number} is too large")
    return number


def _text(sample: _Sample, extension: str) -> str:
    return _Slices([sample.slice_of(extension)])(0).decode()
