"""Pictures that are brought to a size."""

from __future__ import annotations

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
