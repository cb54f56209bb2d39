"""Pictures: from 8 bits to floats and back, and brought to a size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHOLE = 2**24
"""Pixels up to which a picture is resized whole before it is cut; beyond, only the part that the cut keeps is made."""


def cut(
    image: Image.Image, size: tuple[int, int], corner: tuple[int, int], side: int, method: Image.Resampling
) -> Image.Image:
    """The square of ``side`` pixels at ``corner`` of the image resized to ``size`` (width, height).

    A picture of 1 x 60,000 pixels whose short edge becomes 224 would have 3 billion: of more than ``WHOLE`` pixels
    only the square is made, from the same places of the original. Bilinear values differ by one level of 255 at most;
    those of methods that overshoot (bicubic) by more, where Pillow clips them between its two passes.

    Examples
    --------
    >>> cut(Image.new("L", (1, 60_000), 9), (224, 13_440_000), (0, 6_719_888), 224, Image.Resampling.BILINEAR).size
    (224, 224)
    """
    (width, height), (left, top) = size, corner
    if width * height <= WHOLE:
        return image.resize(size, method).crop((left, top, left + side, top + side))
    across, down = image.width / width, image.height / height
    right, bottom = min((left + side) * across, image.width), min((top + side) * down, image.height)
    return image.resize((side, side), method, box=(left * across, top * down, right, bottom))


def as_float(picture: NDArray[Any]) -> NDArray[np.float32]:
    """A picture in [0, 1], from 8 bits or from floats.

    Examples
    --------
    >>> as_float(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    scaled: NDArray[np.float32] = picture.astype(np.float32)
    return scaled / np.float32(255) if picture.dtype == np.uint8 else scaled


def eight_bit(picture: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """A picture in [0, 1], clipped and rounded to 8 bits.

    Examples
    --------
    >>> eight_bit(np.array([-0.1, 0.2, 1.5]))
    array([  0,  51, 255], dtype=uint8)
    """
    rounded: NDArray[np.uint8] = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return rounded
