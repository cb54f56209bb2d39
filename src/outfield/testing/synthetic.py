"""What every synthetic unit test keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator, row_rng
from outfield.testing._expect import all_of, comes_back_from_json, expect, is_found_by_its_name

SIDES = (1, 8, 16, 32, 64)


def check_synthetic(generator: Generator) -> None:
    """The contract of a synthetic unit test: pictures of every size, the same again for the same row.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.data.synthetic.blobs import Blobs
    >>> check_synthetic(Blobs())
    """
    all_of(CHECKS, generator)


def id_pictures(side: int, channels: int) -> list[NDArray[np.float32]]:
    """Noise, for those that are made from ID pictures."""
    rng = np.random.default_rng(1)
    return [rng.random((side, side, channels), dtype=np.float32) for _ in range(3)]


def draw(generator: Generator, side: int, channels: int, row: int = 0) -> NDArray[np.float32]:
    """The picture of one row."""
    return generator.draw(side, channels, row_rng("test", 0, row), id_pictures(side, channels))


def fields(generator: Generator) -> None:
    """It is found by its name, and comes back from JSON."""
    is_found_by_its_name("synthetic", generator)
    comes_back_from_json("synthetic", generator)


def shape_range_and_type(generator: Generator) -> None:
    """Pictures [side, side, channels] as float32 in [0, 1]."""
    for side in SIDES:
        for channels in (3,) if generator.colour_only else (1, 3):
            found = draw(generator, side, channels)
            expect(found.shape == (side, side, channels), f"a picture [{side}, {side}, {channels}]", found.shape)
            expect(found.dtype == np.float32, "float32", found.dtype)
            inside = np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
            expect(inside, "values in [0, 1]", f"{found.min():g} to {found.max():g}")


def the_same_again(generator: Generator) -> None:
    """A row is the same again: all chance comes from ``rng``."""
    first, again = draw(generator, 16, 3), draw(generator, 16, 3)
    expect(np.array_equal(first, again), "the same picture again from the same random stream", "another")


CHECKS: tuple[Callable[[Generator], None], ...] = (fields, shape_range_and_type, the_same_again)
