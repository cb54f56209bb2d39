"""Our own synthetic unit tests keep their contract, and draw what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from outfield import registry
from outfield.data.base import Generator, row_rng
from outfield.data.datasets import left_out_of, parts_of
from outfield.data.pictures import eight_bit
from outfield.data.sources.digits import Digits
from outfield.data.sources.synthetic import Synthetic
from outfield.data.synthetic import _patterns
from outfield.errors import UserError
from outfield.testing.synthetic import CHECKS, draw, id_pictures

NAMES = registry.own("synthetic")
COLOUR_ONLY = {
    "low_frequency_colour_range",
    "low_frequency_per_channel",
    "monochrome",
    "tricolour",
    "tricolour_primaries",
}
SAME_EVERY_TIME = {"black", "white"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, check: Callable[[Generator], None]) -> None:
    check(registry.create("synthetic", name))


def test_there_are_seventeen() -> None:
    assert len(NAMES) == 17
    assert {name for name in NAMES if registry.find("synthetic", name).colour_only} == COLOUR_ONLY


@pytest.mark.parametrize("name", NAMES)
def test_rows_differ_unless_there_is_one_such_picture(name: str) -> None:
    first, other = (draw(registry.create("synthetic", name), 16, 3, row) for row in (0, 1))
    assert np.array_equal(first, other) == (name in SAME_EVERY_TIME)


def test_no_two_look_alike_in_colour() -> None:
    looks = {draw(registry.create("synthetic", name), 16, 3).tobytes() for name in NAMES}
    assert len(looks) == len(NAMES)


def many(name: str, side: int, channels: int, n: int = 200) -> NDArray[np.float32]:
    test = registry.create("synthetic", name)
    return np.stack([draw(test, side, channels, row) for row in range(n)])


def test_noise_has_the_moments_of_its_law() -> None:
    uniform, rademacher = many("uniform_noise", 16, 3), many("rademacher", 16, 3)
    assert uniform.mean() == pytest.approx(0.5, abs=0.01) and uniform.var() == pytest.approx(1 / 12, abs=0.002)
    assert set(np.unique(rademacher)) == {0, 1} and rademacher.mean() == pytest.approx(0.5, abs=0.01)


def test_gaussian_noise_takes_each_of_its_spreads() -> None:
    spreads = many("gaussian_noise", 64, 1).std(axis=(1, 2, 3))
    inner = [0.05, 0.075, 0.1, 0.15]
    assert all((np.abs(spreads - spread) < 0.005).any() for spread in inner)
    assert np.abs(spreads[:, None] - inner).min(axis=1)[spreads < 0.17].max() < 0.005


def test_permutation_keeps_pixels_whole() -> None:
    given = id_pictures(8, 3)
    drawn = draw(registry.create("synthetic", "pixel_permutation"), 8, 3).reshape(-1, 3)
    sorted_pixels = [np.unique(picture.reshape(-1, 3), axis=0) for picture in given]
    assert any(np.array_equal(np.unique(drawn, axis=0), pixels) for pixels in sorted_pixels)


def test_permutation_is_no_copy_of_an_id_picture() -> None:
    drawn = draw(registry.create("synthetic", "pixel_permutation"), 8, 1)
    assert not any(np.array_equal(drawn, picture) for picture in id_pictures(8, 1))


def test_low_frequencies_fill_the_range_and_wrap_around() -> None:
    for name, axis in (("low_frequency", (1, 2, 3)), ("low_frequency_per_channel", (1, 2))):
        drawn = many(name, 32, 3, n=30)
        assert np.allclose(drawn.min(axis=axis), 0) and np.allclose(drawn.max(axis=axis), 1)
        seam = np.abs(drawn[:, 0] - drawn[:, -1]).mean()
        inside = np.abs(np.diff(drawn, axis=1)).mean()
        assert seam < 1.5 * inside


@pytest.mark.parametrize("side", [8, 16, 32])
def test_low_frequencies_are_smooth_however_wide_the_blur(side: int) -> None:
    drawn = many("low_frequency", side, 1, n=60)
    power = np.abs(np.fft.fft2(drawn[..., 0] - drawn.mean(axis=(1, 2, 3))[:, None, None])) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    assert power[:, frequency > 0.36].sum() < 0.01 * power.sum()


def test_a_colour_range_has_the_width_it_was_given() -> None:
    drawn = many("low_frequency_colour_range", 16, 3)
    width = np.ptp(drawn, axis=(1, 2))
    assert width.max() <= 0.6 + 1e-6 and np.median(width) > 0.1


def test_blobs_are_zero_or_at_least_three_quarters() -> None:
    drawn = many("blobs", 32, 3)
    assert (drawn[drawn > 0] >= 0.75).all() and 0.1 < (drawn == 0).mean() < 0.9


@pytest.mark.parametrize(
    ("name", "colours"), [("monochrome", 1), ("grey", 1), ("black", 1), ("white", 1), ("tricolour", 3)]
)
def test_number_of_colours(name: str, colours: int) -> None:
    for picture in many(name, 16, 3, n=20):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) == colours


def test_plain_pictures_have_the_colour_they_say() -> None:
    assert many("black", 8, 3, n=2).max() == 0 and many("white", 8, 3, n=2).min() == 1
    assert np.ptp(many("grey", 8, 3, n=20), axis=3).max() == 0
    assert np.ptp(many("monochrome", 8, 3, n=20), axis=3).min() > 0


def test_primaries_are_red_green_and_blue() -> None:
    for picture in many("tricolour_primaries", 16, 3, n=10):
        assert np.unique(picture.reshape(-1, 3), axis=0).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_bands_are_of_equal_width_in_any_direction() -> None:
    for picture in many("tricolour", 48, 3, n=20):
        _, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
        assert counts.min() > 0.1 * 48 * 48


@pytest.mark.parametrize(
    ("side", "allowed"), [(8, {4}), (16, {4, 5, 7}), (32, {4, 5, 7, 10, 15}), (64, {4, 5, 7, 10, 15, 20})]
)
def test_stripes_have_an_allowed_number_of_bands(side: int, allowed: set[int]) -> None:
    for name, line in (("horizontal_stripes", np.s_[:, :, 0]), ("vertical_stripes", np.s_[:, 0, :])):
        lines = many(name, side, 3)[line]
        changes = (np.abs(np.diff(lines, axis=1)).max(axis=2) > 0).sum(axis=1) + 1
        assert set(changes.tolist()) == allowed


def test_the_pool_has_parts_and_names_what_it_leaves_out() -> None:
    grey = Synthetic(each=3, side=16, pictures=Digits(part="fit")).load()
    names, counts = np.unique(parts_of(grey), return_counts=True)
    assert set(names) == set(NAMES) - COLOUR_ONLY and set(counts) == {3}
    assert {text.split(":")[0] for text in left_out_of(grey)} == COLOUR_ONLY
    colour = Synthetic(each=2, side=16, channels=3, pictures=Digits(part="fit")).load()
    assert len(colour) == 34


def test_without_id_pictures_the_permutations_are_left_out_by_name() -> None:
    pool = Synthetic(each=1, side=8, channels=3).load()
    left_out = sorted(text.split(":")[0] for text in left_out_of(pool))
    assert left_out == ["blurred_permutation", "pixel_permutation"]


def test_a_test_that_is_asked_for_and_not_defined_is_an_error() -> None:
    with pytest.raises(UserError, match="monochrome: is about colour alone"):
        Synthetic(("monochrome", "grey"), each=1).load()


def test_the_pool_is_eight_bit_and_does_not_depend_on_its_company() -> None:
    alone = Synthetic(("blobs",), each=4, side=16).load()
    together = Synthetic(("grey", "blobs"), each=4, side=16).load()
    assert np.array_equal(alone.read(slice(None)), together.read(slice(4, 8)))
    expected = registry.create("synthetic", "blobs").draw(16, 1, row_rng("blobs", 0, 2))
    assert np.array_equal(alone.read(slice(2, 3))[0], eight_bit(expected))
    assert Synthetic(("blobs",), each=4, side=16, seed=1).load().digest() != alone.digest()


def test_blurs_wrap_around() -> None:
    picture = id_pictures(32, 3)[0]
    rolled = np.roll(picture, (5, 11), axis=(0, 1))
    one, other = (_patterns.blur(values, (6, 8), np.random.default_rng(3)) for values in (picture, rolled))
    assert np.allclose(np.roll(one, (5, 11), axis=(0, 1)), other, atol=1e-6)
    assert not np.allclose(one, picture, atol=0.05)
