"""From the bytes of a file to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from outfield.data.limits import DECODED, PIXELS
from outfield.data.pictures import cut
from outfield.data.sources._names import FORMATS
from outfield.errors import UserError

TURNED = "turned by an EXIF orientation that is not applied (`upright: true` applies it)"
FRAMES = "of several frames, of which the first is read"
TRANSPARENT = "transparent: the transparency is dropped, the colour below it is kept"
PALETTE = "with a palette: read as colour"
DEEP_GREY = "with more than 8 bits of grey: scaled to 8"
DEEP_COLOUR = "with 16 bits a colour: the upper 8 are kept"
CONVERTED = "in CMYK or another space of colours: converted to RGB"

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Decoding:
    """How an encoded picture becomes uint8 [H, W, C].

    Palettes are resolved to colour; transparency is dropped and the colour below it kept; 16-bit grey is scaled to 8
    bits and rounded, of 16-bit colour the upper 8 bits are kept; floats are read in [0, 1]; of several frames or pages
    the first counts. A TIFF is always turned by its orientation, since Pillow does so.

    Parameters
    ----------
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3; None keeps grey grey and colour colour.
    side : int, optional
        Resize the shorter edge to this (bilinear, anti-aliased) and cut out the centre; None keeps the size.
    upright : bool
        Turn and mirror the picture as its EXIF orientation says, before anything else. Not done by default, as most
        loaders of this field do not.
    """

    channels: int | None = None
    side: int | None = None
    upright: bool = False

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3) or (self.side is not None and self.side < 1):
            raise UserError(
                f"Expected channels 1, 3 or none and side >= 1 or none, but got {self.channels} and {self.side}. "
                "Mend them."
            )
        if self.side is not None and self.side**2 > PIXELS():
            raise UserError(
                f"Expected pictures of a moderate side, but side {self.side} has "
                f"{PIXELS.exceeded(self.side**2, 'pixels')}."
            )

    def __call__(self, content: bytes) -> NDArray[np.uint8]:
        """The picture. Raises whatever Pillow does, or ``ValueError``, where there is none."""
        return self._read(content)[0]

    def notes(self, content: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """The picture, and what a user may not expect of it: the constants of this module."""
        return self._read(content, ask=True)

    def _read(self, content: bytes, *, ask: bool = False) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        with _opened(content) as image, DECODED.share(image.width * image.height):
            raw = _raw_mode(image)
            transparent = image.has_transparency_data
            image.load()
            notes = _noted(image, raw, transparent, upright=self.upright) if ask else ()
            picture = self._sized(self._coloured(_eight_bits(self._turned(image)), grey=_is_grey(image.mode, raw)))
            if ask and _has_frames(image):
                notes += (FRAMES,)
        pixels = np.asarray(picture)
        return pixels.reshape(*pixels.shape[:2], -1), notes

    def _turned(self, image: Image.Image) -> Image.Image:
        return ImageOps.exif_transpose(image) if self.upright else image

    def _coloured(self, image: Image.Image, *, grey: bool) -> Image.Image:
        wanted = grey if self.channels is None else self.channels == 1
        return image.convert("L" if wanted else "RGB")

    def _sized(self, image: Image.Image) -> Image.Image:
        if self.side is None or image.size == (self.side, self.side):
            return image
        factor = self.side / min(image.size)
        width, height = (max(self.side, round(edge * factor)) for edge in image.size)
        corner = (width - self.side) // 2, (height - self.side) // 2
        return cut(image, (width, height), corner, self.side, Image.Resampling.BILINEAR)


def reason(error: BaseException) -> str:
    """Why a picture cannot be read, for a message that begins with its name."""
    if isinstance(error, UnidentifiedImageError):
        return "is no picture that Pillow can identify"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"is too large: more pixels than the limit of {PIXELS():,}; set ${PIXELS.variable} to allow more"
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:300] or type(error).__name__


def _opened(content: bytes) -> Image.Image:
    if not content:
        raise ValueError("is empty")
    most = PIXELS()
    if Image.MAX_IMAGE_PIXELS is not None and most > max(PIXELS.default, Image.MAX_IMAGE_PIXELS):
        Image.MAX_IMAGE_PIXELS = most
    image = Image.open(BytesIO(content), formats=list(FORMATS))
    if image.width * image.height > most:
        raise ValueError(f"is too large: {PIXELS.exceeded(image.width * image.height, 'pixels')}")
    return image


def _raw_mode(image: Image.Image) -> str:
    """How the file lays out a pixel, as Pillow's decoders call it; '' where they do not say."""
    tiles: list[Any] = getattr(image, "tile", [])
    args = tiles[0][3] if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _is_grey(mode: str, raw: str) -> bool:
    """Whether the file is grey: Pillow opens grey of 16 bits with transparency as colour."""
    return mode.startswith(("I", "F")) or mode in ("1", "L", "LA", "La") or raw.startswith("LA")


def _is_turned(image: Image.Image) -> bool:
    """Whether an orientation is stated that loading left; not where the EXIF data cannot be read."""
    try:
        return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:
        return False


def _has_frames(image: Image.Image) -> bool:
    """Whether a second frame follows; not where what follows the first cannot be read."""
    try:
        return getattr(image, "n_frames", 1) > 1
    except Exception:
        return False


def _noted(image: Image.Image, raw: str, transparent: bool, *, upright: bool) -> tuple[str, ...]:
    grey = _is_grey(image.mode, raw)
    found = {
        TURNED: not upright and _is_turned(image),
        TRANSPARENT: transparent,
        PALETTE: image.mode in ("P", "PA"),
        DEEP_GREY: image.mode.startswith(("I", "F")) or (grey and ";16" in raw),
        DEEP_COLOUR: not grey and ";16" in raw,
        CONVERTED: image.mode in ("CMYK", "LAB", "HSV", "YCbCr"),
    }
    return tuple(note for note, holds in found.items() if holds)


def _eight_bits(image: Image.Image) -> Image.Image:
    image.info.pop("transparency", None)
    if image.mode == "P":
        return image.convert("RGBA").convert("RGB")
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    most = 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > most:
        raise ValueError(f"values between {values.min():g} and {values.max():g}, expected 0 to {most:g}")
    if image.mode == "F":
        return Image.fromarray(np.rint(values.astype(np.float64) * 255).astype(np.uint8))
    return Image.fromarray(_SIXTEEN_TO_EIGHT[values])


_SIXTEEN_TO_EIGHT: NDArray[np.uint8] = np.rint(np.arange(65536) / 65535 * 255).astype(np.uint8)
