from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from outfield.data.base import Dataset, Source
from outfield.data.sources._files import Broken, Decoding, FileDataset, Paths, by_folder, existing, is_picture
from outfield.errors import UserError


@dataclass(frozen=True)
class Folder(Source):
    """Pictures in a folder, ``class/.../picture``, or without labels where they lie in no subfolder.

    Files are read when they are needed. Hidden files and files that are no pictures by their name are passed over.

    Parameters
    ----------
    path : str
    classes : tuple of str, optional
        The subfolders to keep, in the order of the model's outputs; by default all, sorted by name.
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3; None keeps grey grey and colour colour. Transparency is dropped, palettes are
        resolved, 16-bit grey is scaled to 8 bits.
    side : int, optional
        Resize the shorter edge to this and cut out the centre.
    broken : {"refuse", "leave out"}
        What to do with pictures that cannot be decoded: an error that lists them when they are met, or read all of
        them first and go on without, each named in ``left_out`` of the data set.

    Raises
    ------
    UserError
        No such folder, no picture in it or in a class, pictures beside class folders; broken pictures.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as path:
    ...     (Path(path) / "cat").mkdir()
    ...     Image.new("L", (5, 5)).save(path + "/cat/one.png")
    ...     data = Folder(path).load()
    ...     data.classes, data.read(slice(None)).shape
    (('cat',), (1, 5, 5, 1))
    """

    path: str
    classes: tuple[str, ...] | None = None
    channels: int | None = None
    side: int | None = None
    broken: Broken = "refuse"

    def files(self) -> tuple[Path, ...]:
        return (Path(self.path).expanduser(),)

    def load(self) -> Dataset:
        root = existing(self.path, "folder")
        found = sorted(_pictures(root))
        if not found:
            raise UserError(f"Expected pictures in {root}, but found none. Point it to a folder of pictures.")
        rows, labels, classes = by_folder(found, str(root), self.classes or _subfolders(root))
        files = [root / found[row] for row in rows]
        whole = FileDataset(
            list(map(str, files)),
            Paths(files),
            Decoding(self.channels, self.side),
            str(root),
            labels=labels,
            classes=classes,
        )
        return whole.settled(self.broken)


def _subfolders(root: Path) -> tuple[str, ...] | None:
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".")) or None


def _pictures(root: Path) -> Iterator[str]:
    """Paths below the root, with ``/`` between their parts."""
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        yield from (Path(folder, name).relative_to(root).as_posix() for name in files if is_picture(name))
