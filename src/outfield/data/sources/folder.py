from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from outfield.data.base import Dataset, Source
from outfield.data.folder_tree import Tree
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import Broken, FileDataset, Paths, by_folder, existing
from outfield.data.sources._names import is_foreign, is_picture, passed_over
from outfield.errors import UserError
from outfield.places import home


@dataclass(frozen=True)
class Folder(Source):
    """Pictures in a folder, ``class/.../picture``, or without labels where they lie in no subfolder.

    Files are read when they are needed. Hidden files, an operating system's own (``__MACOSX``, ``Thumbs.db``) and files
    that are no raster pictures by their name are passed over. A link to a folder is followed once.

    Parameters
    ----------
    path : str
    classes : tuple of str, optional
        The subfolders to keep, in the order of the model's outputs; by default all, sorted by name.
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3; None keeps grey grey and colour colour. Transparency is dropped, palettes are
        resolved to colour, 16-bit grey is scaled to 8 bits; of several frames or pages the first is read.
    side : int, optional
        Resize the shorter edge to this and cut out the centre.
    upright : bool
        Turn pictures as their EXIF orientation says. Not done by default, as torchvision's loader does not.
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
    upright: bool = False
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        root = existing(self.path, "folder")
        tree = Tree.below(root, skip=is_foreign)
        found = [name for name in tree.files if is_picture(name)]
        if not found:
            raise UserError(f"Expected pictures in {root}, but found none. Point it to a folder of pictures.")
        rows, labels, classes = by_folder(found, str(root), self.classes or _subfolders(root, tree.again))
        files = [root / found[row] for row in rows]
        whole = FileDataset(
            list(map(str, files)),
            Paths(files),
            Decoding(self.channels, self.side, self.upright),
            str(root),
            labels=labels,
            classes=classes,
            beside=passed_over(tree.skipped, (name for name in tree.files if not is_picture(name)), tree.again),
        )
        return whole.settled(self.broken)


def _subfolders(root: Path, again: list[str]) -> tuple[str, ...] | None:
    """The classes: folders at the root, but for links back to it."""
    names = {path.name for path in root.iterdir() if path.is_dir() and not is_foreign(path.name)}
    return tuple(sorted(names - set(again))) or None
