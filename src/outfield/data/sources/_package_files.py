"""Files that installed packages ship, found without importing the package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outfield.errors import UserError


def shipped(package: str, *place: str) -> Path:
    """Path of a file inside an installed package.

    Raises
    ------
    UserError
        The package is absent, or comes without the file.
    """
    found = find_spec(package)
    roots = (found.submodule_search_locations or ()) if found else ()
    for path in (Path(root, *place) for root in roots):
        if path.exists():
            return path
    raise UserError(
        f"Expected {'/'.join(place)} in the package {package!r}, but it is not there. "
        f"Install the package from the index, with its data: pip install --force-reinstall {package}"
    )


def crops(
    picture: NDArray[np.uint8], n: int, edges: tuple[int, int], *, side: int, detail: int | None, seed: int
) -> NDArray[np.uint8]:
    """Square cuts [n, side, side, C] at random places, their edges uniform on ``edges``, made small by area means.

    Raises
    ------
    UserError
        No cut is asked for, or one larger than the picture.
    """
    if n < 1 or not 1 <= edges[0] <= edges[1] <= min(picture.shape[:2]):
        raise UserError(
            f"Expected n >= 1 cuts with edges between 1 and {min(picture.shape[:2])}, but got n {n} and edges {edges}. "
            "Mend them."
        )
    rng = np.random.default_rng(seed)
    image = Image.fromarray(picture)
    return np.stack([_crop(image, rng, edges, side, detail) for _ in range(n)])


def _crop(
    image: Image.Image, rng: np.random.Generator, edges: tuple[int, int], side: int, detail: int | None
) -> NDArray[np.uint8]:
    edge = int(rng.integers(edges[0], edges[1] + 1))
    left, top = int(rng.integers(image.width - edge + 1)), int(rng.integers(image.height - edge + 1))
    cut = image.crop((left, top, left + edge, top + edge))
    return enlarged(cut.resize((detail or side,) * 2, Image.Resampling.BOX), side)


def enlarged(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """A small square picture [side, side, C], bicubic between its pixels."""
    pixels = np.asarray(image if image.width == side else image.resize((side, side), Image.Resampling.BICUBIC))
    return pixels.reshape(side, side, -1)


def with_channels(picture: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey repeated to three channels, or left as it is."""
    return np.repeat(picture, channels // picture.shape[-1], axis=-1)
