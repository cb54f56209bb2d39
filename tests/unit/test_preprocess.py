"""Pictures and rows become inputs as published transforms make them; what is none is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from outfield.errors import UserError
from outfield.models.preprocess import Pictures, Table, noise, stated

GREY = np.random.default_rng(0).integers(0, 256, (3, 9, 11, 1), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (3, 9, 11, 3), dtype=np.uint8)


def test_values_are_scaled_and_normalised() -> None:
    x = Pictures(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))(COLOUR)
    expected = (COLOUR / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(x.numpy(), np.moveaxis(expected, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(9, 11), (40, 30), (1, 1), (8, 8), (1, 7)])
@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_sizes_are_those_of_a_resize_and_a_cut(height: int, width: int, crop: float) -> None:
    item = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    short = int(8 / crop)
    tall, wide = (short, int(short * width / height)) if width > height else (int(short * height / width), short)
    image = Image.fromarray(item).resize((wide, tall), Image.Resampling.BICUBIC)
    top, left = round((tall - 8) / 2), round((wide - 8) / 2)
    expected = np.asarray(image.crop((left, top, left + 8, top + 8)))
    found = Pictures(side=8, crop=crop, interpolation="bicubic")(item[None])
    np.testing.assert_allclose(255 * found[0].permute(1, 2, 0).numpy(), expected, atol=1e-3)


def test_grey_becomes_colour_and_colour_grey() -> None:
    assert torch.equal(Pictures(channels=3)(GREY)[:, 1], Pictures()(GREY)[:, 0])
    luma = Pictures(channels=1)(COLOUR)
    assert luma.shape == (3, 1, 9, 11)
    np.testing.assert_allclose(255 * luma[:, 0].numpy(), np.rint(COLOUR @ np.array([0.299, 0.587, 0.114])), atol=1.01)


def test_sixteen_bits_floats_and_plain_arrays_mean_the_same() -> None:
    eight = Pictures(side=8)(GREY)
    wide = Pictures(side=8)(GREY.astype(np.uint16) * 257)
    floats = Pictures(side=8)(GREY.astype(np.float32) / np.float32(255))
    torch.testing.assert_close(wide, floats, rtol=0, atol=1e-5)
    torch.testing.assert_close(floats, eight, rtol=0, atol=1.1 / 255)
    assert torch.equal(Pictures()([picture[:, :, 0] for picture in GREY]), Pictures()(GREY))
    assert torch.equal(Pictures()([Image.fromarray(picture) for picture in COLOUR]), Pictures()(COLOUR))


@pytest.mark.parametrize("pixel", [np.zeros((1, 1, 1, 1), np.uint8), np.full((1, 1, 1, 3), 200, np.uint8)])
def test_one_pixel_is_enlarged(pixel: Any) -> None:
    x = Pictures(side=8, channels=3)(pixel)
    assert x.shape == (1, 3, 8, 8) and (x == x[0, 0, 0, 0]).all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([np.zeros((4, 4, 3), np.int64)], "got int64"),
        ([np.full((4, 4, 3), 2.0, np.float32)], r"got \[2, 2\]"),
        ([np.full((4, 4, 3), np.nan, np.float32)], "nan"),
        ([np.zeros((4, 4, 5), np.uint8)], r"shape \(4, 4, 5\)"),
        ([np.zeros((0, 4, 3), np.uint8)], r"shape \(0, 4, 3\)"),
        (["a text"], "got str 'a text'"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "pictures of one shape"),
    ],
)
def test_what_is_no_picture_is_refused(batch: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Pictures()(batch)


@pytest.mark.parametrize("wrong", [{"crop": 0.0}, {"crop": 1.5}, {"interpolation": "cubic"}])
def test_parameters_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Expected"):
        Pictures(**wrong)


def test_rows_keep_their_values_and_their_number() -> None:
    assert Table(columns=2)([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert Table(double=True)(np.ones((2, 3))).dtype == torch.float64
    with pytest.raises(UserError, match="rows of 3 numbers"):
        Table(columns=3)([[1, 2]])
    with pytest.raises(UserError, match="rows of numbers"):
        Table()(["a text"])


def plain(batch: Any) -> torch.Tensor:
    return torch.as_tensor(batch)


class Opaque:
    def __call__(self, batch: Any) -> torch.Tensor:
        return torch.as_tensor(batch)


@dataclass(frozen=True)
class Own:
    factor: float

    def __call__(self, batch: Any) -> torch.Tensor:
        return self.factor * torch.as_tensor(batch)


def test_a_preprocessing_is_stated_by_its_content() -> None:
    assert stated(plain) == stated(plain) and "0x" not in str(stated(plain))
    assert stated(Own(1.0)) == stated(Own(1.0)) != stated(Own(2.0))
    assert stated(Pictures(side=8)) != stated(Pictures(side=9))
    with pytest.raises(UserError, match="a method `digest`"):
        stated(Opaque())


def test_noise_is_the_same_each_time() -> None:
    assert noise(3, 4, 5).shape == (2, 4, 5, 3)
    assert np.array_equal(noise(1, 2, 2), noise(1, 2, 2))
