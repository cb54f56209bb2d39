from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from outfield.data.base import Dataset, Source
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import Broken, FileDataset, bounded, by_folder, existing
from outfield.data.sources._names import has_foreign, is_picture, passed_over, printable
from outfield.errors import UserError, reading
from outfield.places import home


@dataclass(frozen=True)
class Zip(Source):
    """Pictures in a zip archive, ``class/.../picture``, read from it without unpacking.

    Hidden files, an operating system's own (``__MACOSX``) and files that are no raster pictures by their name are
    passed over. Of several members with one name the last is read, as unpacking does.

    Parameters
    ----------
    path : str
    under : str
        A folder inside the archive that the classes lie in.
    classes, channels, side, upright, broken : see ``Folder``

    Raises
    ------
    UserError
        No such file, no zip archive, no picture in it, a name that leads out of it; and as ``Folder``.

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
    upright: bool = False
    broken: Broken = "refuse"

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return (home(self.path),)

    def load(self) -> Dataset:
        path = existing(self.path, "file")
        members, prefix = _members(path), f"{self.under.strip('/')}/" if self.under else ""
        inside = {name[len(prefix) :]: member for name, member in members.items() if name.startswith(prefix)}
        found = sorted(name for name in inside if is_picture(name))
        if not found:
            raise UserError(
                f"Expected pictures in {self.path}{' under ' + prefix if prefix else ''}, but found none. "
                "Name the folder inside the archive with `under`, or choose another archive."
            )
        rows, labels, classes = by_folder(found, self.path, self.classes)
        names = [found[row] for row in rows]
        foreign = [name for name in inside if has_foreign(name)]
        whole = FileDataset(
            [f"{self.path}:{prefix}{name}" for name in names],
            _Members(path, [inside[name] for name in names]),
            Decoding(self.channels, self.side, self.upright),
            self.path,
            labels=labels,
            classes=classes,
            beside=passed_over(foreign, set(inside) - set(found) - set(foreign)),
        )
        return whole.settled(self.broken)


def _members(file: Path) -> dict[str, str]:
    """The names of all files in an archive as paths inside it, to the names that the archive has for them."""
    with reading(printable(str(file)), "a zip archive", "Get it again."), zipfile.ZipFile(file) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    windows = not any("/" in name for name in names)
    return {_inside(name.replace("\\", "/") if windows else name, file): name for name in names}


def _inside(name: str, file: Path) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UserError(
            f"Expected names inside the archive in {file}, but {printable(name)!r} leads out of it. "
            "Get another archive."
        )
    return "/".join(parts)


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
        archive = self.handles[process]
        member = archive.getinfo(self.names[row])
        if member.flag_bits & 1:
            raise OSError("is encrypted")
        bounded(member.file_size)
        with archive.open(member) as file:
            content = file.read(member.file_size)
        if len(content) < member.file_size:
            raise OSError(f"holds {len(content):,} bytes where the archive states {member.file_size:,}")
        return content
