"""Pictures of any mode, size, depth and orientation: equal to a plain reading; damaged ones: an error or a picture."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from outfield.data.datasets import tried
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import FileDataset
from outfield.errors import UserError
from tests.properties.support import attacked
from tests.support_pictures import png

SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
LOSSLESS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "I", "F"),
    "GIF": ("P",),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB", "I", "F"),
}
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True, "exact": True}}

seeds = st.integers(0, 2**32 - 1)
edges = st.integers(1, 12)
sizes = st.tuples(edges, edges)


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """As EXIF means it: which edge of the picture the first row and the first column of the file are."""
    across = pixels.swapaxes(0, 1)
    flips = {2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    down, right = flips.get(orientation, (0, 0))
    return (across if 4 < orientation < 9 else pixels)[:: 1 - 2 * down, :: 1 - 2 * right]


def luma(colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    return colour.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def assert_channels(content: bytes, shown: NDArray[np.uint8], **how: Any) -> None:
    """``shown`` [H, W, C] comes out as it is, and as luma or repeated where other channels are asked for."""
    assert (Decoding(**how)(content) == shown).all() and Decoding(**how)(content).shape == shown.shape
    colour = np.broadcast_to(shown, (*shown.shape[:2], 3))
    assert (Decoding(channels=3, **how)(content) == colour).all()
    grey = Decoding(channels=1, **how)(content)
    assert grey.shape == (*shown.shape[:2], 1) and np.abs(grey[:, :, 0] - luma(colour)).max() <= 1


@attacked
@given(seeds, st.sampled_from(sorted(SAMPLES)), sizes, st.booleans(), st.data())
def test_png_of_every_depth(
    seed: int, colour: int, size: tuple[int, int], transparent: bool, data: st.DataObject
) -> None:
    depth, count = data.draw(st.sampled_from(DEPTHS[colour])), SAMPLES[colour]
    values = np.random.default_rng(seed).integers(0, 2**depth, (*size, count), dtype=np.uint16)
    key = b"".join(int(sample).to_bytes(2, "big") for sample in values[0, 0]) if transparent and colour < 4 else b""
    content = png(values if count > 1 else values[:, :, 0], depth=depth, colour=colour, transparency=key)
    shown = values[:, :, : 3 if colour & 2 else 1].astype(np.float64)
    exact = depth < 16 or colour == 0
    eight = np.rint(shown / (2**depth - 1) * 255) if exact else shown // 256
    assert_channels(content, eight.astype(np.uint8))


@attacked
@given(seeds, st.sampled_from(sorted(LOSSLESS)), sizes, st.tuples(st.integers(0, 9), st.booleans()), st.data())
def test_lossless_formats(
    seed: int, kind: str, size: tuple[int, int], way: tuple[int, bool], data: st.DataObject
) -> None:
    orientation, upright = way
    rng, mode = np.random.default_rng(seed), data.draw(st.sampled_from(LOSSLESS[kind]))
    image, shown = drawn(rng, mode, *size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} if kind in ("PNG", "WEBP", "TIFF") else {}
    image.save(buffer := BytesIO(), kind, **options, **OPTIONS.get(kind, {}))
    if kind == "WEBP" and shown.shape[2] == 1:
        shown = np.repeat(shown, 3, axis=2)
    if options and (upright or kind == "TIFF"):
        shown = turned(shown, orientation)
    found = Decoding(channels=3, upright=upright)(buffer.getvalue())
    assert (found == np.broadcast_to(shown, (*shown.shape[:2], 3))).all(), (kind, mode)


def drawn(rng: np.random.Generator, mode: str, height: int, width: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """A picture of a mode, and what it shows [H, W, C]."""
    levels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode in ("I;16", "I;16B", "I"):
        deep = rng.integers(0, 65_536, (height, width))
        order = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        image = Image.frombytes(mode, (width, height), deep.astype(order).tobytes())
        return image, np.rint(deep / 257).astype(np.uint8)[:, :, None]
    if mode == "F":
        share = levels[:, :, 0] / np.float32(255)
        return Image.fromarray(share.astype(np.float32)), levels[:, :, :1]
    if mode == "1":
        bits = levels[:, :, :1] // 128 * 255
        return Image.fromarray(bits[:, :, 0]).convert("1"), bits
    if mode == "P":
        image = Image.frombytes("P", (width, height), levels[:, :, 0].tobytes())
        palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
        image.putpalette(palette.tobytes())
        return image, palette[levels[:, :, 0]]
    count = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(levels[:, :, :count]).tobytes())
    if mode == "CMYK":
        light = 255 - levels.astype(np.int64)
        return image, np.floor(light[:, :, :3] * light[:, :, 3:] / 255 + 0.5).astype(np.uint8)
    return image, levels[:, :, : 1 if count < 3 else 3]


@attacked
@given(seeds, edges, edges, st.integers(1, 16), st.booleans())
def test_a_side_is_a_resize_and_a_cut(seed: int, height: int, width: int, side: int, colour: bool) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3 if colour else 1), dtype=np.uint8)
    image = Image.fromarray(pixels if colour else pixels[:, :, 0])
    image.save(buffer := BytesIO(), "PNG")
    factor = side / min(height, width)
    wide, high = (max(side, round(edge * factor)) for edge in (width, height))
    whole = np.asarray(image.resize((wide, high), Image.Resampling.BILINEAR)).reshape(high, wide, -1)
    top, left = (high - side) // 2, (wide - side) // 2
    assert (Decoding(side=side)(buffer.getvalue()) == whole[top : top + side, left : left + side]).all()


@attacked
@given(
    seeds,
    st.sampled_from(
        ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "JPEG2000", "ICO", "PCX", "QOI", "DDS"]
    ),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.tuples(st.booleans(), st.floats(0, 1), st.booleans()),
)
def test_damaged_bytes_are_a_fault_or_a_picture(
    seed: int, kind: str, flips: list[tuple[float, int]], way: tuple[bool, float, bool]
) -> None:
    cut, kept, upright = way
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer := BytesIO(), kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    content = bytearray(buffer.getvalue())
    for place, value in flips:
        content[int(place * (len(content) - 1))] = value
    damaged = bytes(content[: int(kept * len(content))] if cut else content)
    data = FileDataset(["x"], [damaged].__getitem__, Decoding(side=8, upright=upright), "here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = tried(data, slice(None))
        (look,) = data.looks(slice(None))
        assert bool(look.fault) == isinstance(found, str)
        if isinstance(found, str):
            assert found.isprintable()
            with pytest.raises(UserError, match="1 of 1 cannot"):
                data.read(slice(None))
        else:
            assert found.shape[:2] == (8, 8) and found.dtype == np.uint8
