"""Pictures in files: what every source that decodes encoded pictures shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from outfield.data.base import Batch
from outfield.data.datasets import Fault, Rows, item_key, stack
from outfield.errors import NotThere, UserError

Broken = Literal["refuse", "leave out"]
SHOWN = 20
"""Broken pictures that a message names; the others are counted."""
_SHARE = 32


@dataclass(frozen=True)
class Decoding:
    """How an encoded picture becomes uint8 [H, W, C].

    Palettes are resolved, transparency is dropped, 16-bit grey is scaled to 8 bits.

    Parameters
    ----------
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3; None keeps grey grey and colour colour.
    side : int, optional
        Resize the shorter edge to this (bilinear, anti-aliased) and cut out the centre; None keeps the size.
    """

    channels: int | None = None
    side: int | None = None

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3) or (self.side is not None and self.side < 1):
            raise UserError(
                f"Expected channels 1, 3 or none and side >= 1 or none, but got {self.channels} and {self.side}. "
                "Mend them."
            )

    def __call__(self, content: bytes) -> NDArray[np.uint8]:
        with Image.open(BytesIO(content)) as image:
            picture = self._sized(self._coloured(_eight_bits(image)))
        pixels = np.asarray(picture)
        return pixels.reshape(*pixels.shape[:2], -1)

    def _coloured(self, image: Image.Image) -> Image.Image:
        grey = image.mode in ("1", "L", "LA", "La") if self.channels is None else self.channels == 1
        return image.convert("L" if grey else "RGB")

    def _sized(self, image: Image.Image) -> Image.Image:
        if self.side is None or image.size == (self.side, self.side):
            return image
        factor = self.side / min(image.size)
        width, height = (max(self.side, round(edge * factor)) for edge in image.size)
        left, top = (width - self.side) // 2, (height - self.side) // 2
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        return resized.crop((left, top, left + self.side, top + self.side))


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "P" or "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > most:
        raise ValueError(f"values between {values.min():g} and {values.max():g}, expected 0 to {most:g}")
    return Image.fromarray(np.rint(values / most * 255).astype(np.uint8))


class FileDataset(Rows):
    """Encoded pictures, decoded when they are read.

    Parameters
    ----------
    names : path or name of each picture, as messages show it
    content : function from a row's number to the bytes of its file
    decoding : Decoding
    where : what the whole is called in messages
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
    ) -> None:
        super().__init__(len(names), labels, classes, left_out=left_out)
        self.names, self.content, self.decoding, self.where = names, content, decoding, where

    def read(self, rows: slice | NDArray[np.int64]) -> Batch:
        pictures = self.tried(rows)
        if any(isinstance(picture, Fault) for picture in pictures):
            raise self._refused(self.broken())
        return stack(pictures)

    @cached_property
    def row_keys(self) -> NDArray[np.str_]:
        """Of the files' bytes and the decoding: nothing is decoded for a key."""
        how = repr(self.decoding).encode()
        return np.array(_in_threads(lambda row: item_key((self.content(row), how)), np.arange(len(self))))

    def tried(self, rows: slice | NDArray[np.int64]) -> list[NDArray[np.uint8] | Fault]:
        return _in_threads(self._picture, self._where(rows))

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
        )

    def _picture(self, row: int) -> NDArray[np.uint8] | Fault:
        try:
            return self.decoding(self.content(row))
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, Image.DecompressionBombError) as error:
            return Fault(_reason(error))

    def _fault(self, row: int) -> str:
        picture = self._picture(row)
        return picture if isinstance(picture, Fault) else ""

    def _refused(self, faults: dict[int, str]) -> UserError:
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
            f"Expected every picture of {where} in a class folder, or none, but {loose!r} lies outside. Move it."
        )
    chosen = tuple(sorted(set(folders)) if classes is None else classes)
    if absent := [name for name in chosen if name not in set(folders)]:
        raise UserError(f"Expected pictures of every class in {where}, but found none of {', '.join(absent)}.")
    number = {name: place for place, name in enumerate(chosen)}
    rows = [row for row, folder in enumerate(folders) if folder in number]
    return rows, [number[folders[row]] for row in rows], chosen


def is_picture(name: str) -> bool:
    """Whether a file's name is one of a picture that Pillow may read, and not hidden."""
    Image.init()
    return Path(name).suffix.lower() in Image.EXTENSION and not Path(name).name.startswith(("._", "."))


@dataclass(frozen=True)
class Paths:
    """Bytes of files by number."""

    files: Sequence[Path]

    def __call__(self, row: int) -> bytes:
        return self.files[row].read_bytes()


@dataclass(frozen=True)
class _Kept:
    """Bytes of some of the rows."""

    content: Callable[[int], bytes]
    rows: NDArray[np.int64]

    def __call__(self, row: int) -> bytes:
        return self.content(int(self.rows[row]))


def existing(path: str, kind: Literal["file", "folder"]) -> Path:
    """The path, expanded; ``NotThere`` where there is no such file or folder."""
    found = Path(path).expanduser()
    if not (found.is_file() if kind == "file" else found.is_dir()):
        raise NotThere(f"Expected a {kind} at {found}, but there is none. Mend the path.")
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


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no picture that Pillow can identify"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
