from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from outfield.data.base import Dataset, Source
from outfield.data.sources._files import Broken, Decoding, FileDataset, by_folder, existing, is_picture
from outfield.errors import UserError


@dataclass(frozen=True)
class Zip(Source):
    """Pictures in a zip archive, ``class/.../picture``, read from it without unpacking.

    Parameters
    ----------
    path : str
    under : str
        A folder inside the archive that the classes lie in.
    classes, channels, side, broken : see ``Folder``

    Raises
    ------
    UserError
        No such file, no zip archive, no picture in it; and as ``Folder``.

    Examples
    --------
    >>> import tempfile
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(buffer := BytesIO(), "PNG")
    ...     with zipfile.ZipFile(folder + "/set.zip", "w") as archive:
    ...         archive.writestr("cat/one.png", buffer.getvalue())
    ...     Zip(folder + "/set.zip", channels=1, side=4).load().read(slice(None)).shape
    (1, 4, 4, 1)
    """

    path: str
    under: str = ""
    classes: tuple[str, ...] | None = None
    channels: int | None = None
    side: int | None = None
    broken: Broken = "refuse"

    def files(self) -> tuple[Path, ...]:
        return (Path(self.path).expanduser(),)

    def load(self) -> Dataset:
        prefix = f"{self.under.strip('/')}/" if self.under else ""
        found = [name for name in _names(existing(self.path, "file")) if name.startswith(prefix) and is_picture(name)]
        if not found:
            raise UserError(
                f"Expected pictures in {self.path}{' under ' + prefix if prefix else ''}, but found none. "
                "Name the folder inside the archive with `under`, or choose another archive."
            )
        found.sort()
        rows, labels, classes = by_folder([name[len(prefix) :] for name in found], self.path, self.classes)
        names = [found[row] for row in rows]
        whole = FileDataset(
            [f"{self.path}:{name}" for name in names],
            _Members(Path(self.path).expanduser(), names),
            Decoding(self.channels, self.side),
            self.path,
            labels=labels,
            classes=classes,
        )
        return whole.settled(self.broken)


def _names(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"Expected a zip archive at {file}, but it cannot be read ({error}). Get it again.") from error


@dataclass
class _Members:
    """Bytes of members by number, through a handle of each process's own: a fork must not share a file's position."""

    path: Path
    names: list[str]
    handles: dict[int, zipfile.ZipFile] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "names": self.names, "handles": {}}

    def __call__(self, row: int) -> bytes:
        process = os.getpid()
        if process not in self.handles:
            self.handles[process] = zipfile.ZipFile(self.path)
        try:
            return self.handles[process].read(self.names[row])
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise OSError(str(error)) from error
