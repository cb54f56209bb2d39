from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.labels import unless_unlabelled
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import Broken, FileDataset, Paths, existing, refusal
from outfield.data.sources._names import printable
from outfield.errors import NotThere, UserError
from outfield.places import home


@dataclass(frozen=True)
class Imglist(Source):
    """Pictures of a list in OpenOOD's format: ``relative/path label`` on each line, label -1 for OOD [1].

    Labels that are all -1 are no labels.

    Parameters
    ----------
    path : str
        The list.
    root : str
        The folder that its paths start from.
    classes : tuple of str, optional
        Names of the classes 0, 1, ....
    channels, side, upright, broken : see ``Folder``

    Raises
    ------
    UserError
        No such list, root or pictures (``NotThere``); lines of another form; some pictures absent or broken.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (5, 5)).save(folder + "/a b.png")
    ...     _ = Path(folder, "test.txt").write_text("a b.png 3" + chr(10))
    ...     Imglist(folder + "/test.txt", folder).load().labels
    array([3])

    References
    ----------
    [1] Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024.
    """

    path: str
    root: str
    classes: tuple[str, ...] | None = None
    channels: int | None = None
    side: int | None = None
    upright: bool = False
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        names, root = home(self.path), home(self.root)
        return (names, *(root / name for name, _ in _rows(names))) if names.is_file() else (names,)

    def load(self) -> Dataset:
        rows = list(_rows(existing(self.path, "file")))
        if not rows:
            raise UserError(f"Expected lines `relative/path label` in {self.path}, but it is empty. Mend the list.")
        root = existing(self.root, "folder")
        files = [root / name for name, _ in rows]
        self._check_present(files)
        labels = np.array([label for _, label in rows], dtype=np.int64)
        whole = FileDataset(
            list(map(str, files)),
            Paths(files),
            Decoding(self.channels, self.side, self.upright),
            self.path,
            labels=unless_unlabelled(labels),
            classes=self.classes,
        )
        return whole.settled(self.broken)

    def _check_present(self, files: list[Path]) -> None:
        if self.broken == "leave out":
            return
        absent = [file for file in files if not file.is_file()]
        if len(absent) == len(files):
            raise NotThere(
                f"Expected the pictures of {self.path} in {self.root}, but none of {len(files)} is there, the first at "
                f"{printable(str(files[0]))}. Put them there, or mend `root`."
            )
        if absent:
            raise refusal(self.path, [f"{printable(str(file))}: is not there" for file in absent], len(files))


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def _rows(path: Path) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            name, _, label = line.strip().rpartition(" ")
            if not name or not _NUMBER.fullmatch(label):
                raise UserError(
                    f"Expected `relative/path label` on line {number} of {path}, but got {line!r}. Mend that line."
                )
            yield name.strip(), int(label)


def _lines(path: Path) -> list[str]:
    """Lines of UTF-8; names of other bytes survive, as the file system spells them."""
    return [line.rstrip("\r") for line in path.read_bytes().decode("utf-8-sig", "surrogateescape").split("\n")]
