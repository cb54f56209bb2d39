from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.labels import unless_unlabelled
from outfield.data.sources._files import Broken, Decoding, FileDataset, is_picture
from outfield.errors import UserError


@dataclass(frozen=True)
class Webdataset(Source):
    """Pictures in WebDataset's shards: uncompressed tar archives whose files share a key, ``key.jpg`` and ``key.cls``.

    The shards are indexed once, then read in any order. The label is the number in ``key.cls``, or the entry
    ``label`` of ``key.json``.

    Parameters
    ----------
    path : str
        One shard, a pattern with ``*``, or a range ``set-{000..011}.tar``.
    label : str
        The extension or the entry of ``key.json`` that holds the label.
    classes : tuple of str, optional
        Names of the classes 0, 1, ....
    channels, side, broken : see ``Folder``

    Raises
    ------
    UserError
        No such shard, a compressed or damaged one, no picture, labels for some pictures only; broken pictures.

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
    broken: Broken = "refuse"

    def files(self) -> tuple[Path, ...]:
        return tuple(map(Path, _ranged(str(Path(self.path).expanduser()))))

    def load(self) -> Dataset:
        samples = [sample for shard in _shards(self.path) for sample in _samples(shard)]
        pictures = [sample for sample in samples if sample.picture]
        if not pictures:
            raise UserError(f"Expected pictures in {self.path}, but found none. Point it to shards of pictures.")
        whole = FileDataset(
            [f"{sample.shard}:{sample.key}" for sample in pictures],
            _Slices([sample.slice_of(sample.picture) for sample in pictures]),
            Decoding(self.channels, self.side),
            self.path,
            labels=self._labels(pictures),
            classes=self.classes,
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
                f"the first {absent[0]}. Mend the shards."
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
        return next((extension for extension in self.files if is_picture(f"x.{extension}")), "")

    def slice_of(self, extension: str) -> tuple[Path, int, int]:
        return (self.shard, *self.files[extension])


@dataclass(frozen=True)
class _Slices:
    """Bytes of slices of files by number."""

    slices: list[tuple[Path, int, int]]

    def __call__(self, row: int) -> bytes:
        path, start, size = self.slices[row]
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)


def _shards(pattern: str) -> list[Path]:
    names = _named(pattern)
    absent = [name for name in names if not Path(name).is_file()]
    if absent:
        raise UserError(f"Expected shards {pattern}, but there is no {', '.join(absent[:5])}. Mend the path.")
    return [Path(name) for name in names]


def _named(pattern: str) -> list[str]:
    ranged = _ranged(str(Path(pattern).expanduser()))
    return [name for one in ranged for name in ([] if Path(one).is_file() else sorted(glob(one))) or [one]]


def _ranged(pattern: str) -> Iterator[str]:
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _ranged(f"{pattern[: found.start()]}{number:0{len(first)}}{pattern[found.end() :]}")


def _samples(shard: Path) -> list[_Sample]:
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, extension = name.partition(".")
                if member.isfile() and stem:
                    sample = samples.setdefault(f"{folder}/{stem}", _Sample(shard, f"{folder}/{stem}".lstrip("/")))
                    sample.files[extension.lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"Expected an uncompressed tar archive at {shard}, but got: {error}. Unpack or get it again."
        ) from error
    return list(samples.values())


def _label(sample: _Sample, name: str) -> int | None:
    try:
        if name in sample.files:
            return _whole(_text(sample, name))
        entry = json.loads(_text(sample, "json")).get(name) if "json" in sample.files else None
        return None if entry is None else _whole(entry)
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise UserError(
            f"Expected a number as the label {name!r} of {sample.shard}:{sample.key}, but got: {error}. Mend it."
        ) from error


def _whole(value: str | float) -> int:
    if isinstance(value, float) and value != int(value):
        raise ValueError(f"{value} is no whole number")
    if abs(number := int(value)) >= 2**62:
        raise ValueError(f"{number} is too large")
    return number


def _text(sample: _Sample, extension: str) -> str:
    return _Slices([sample.slice_of(extension)])(0).decode()
