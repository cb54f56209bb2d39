"""Every shift, found by name, keeps what a covariate shift promises."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from outfield import registry
from outfield.data import datasets, views
from outfield.data.base import Shift
from outfield.data.datasets import ArrayDataset
from outfield.data.pictures import as_float
from outfield.data.sources.photos import Photos
from outfield.errors import UserError

NAMES = registry.names("shifts")
SIDES = (8, 16, 32, 64)


def pictures(side: int, channels: int, n: int = 12) -> ArrayDataset:
    """Round cuts of a photograph on black: something that every shift changes."""
    cuts = all_of(Photos("flower", n=n, side=side, channels=channels, region="left", seed=1).load())
    down, along = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(down, along) < side / 2
    return ArrayDataset(cuts * inside[:, :, None], labels=np.arange(n) % 3, classes=["a", "b", "c"])


def all_of(data: datasets.Dataset) -> NDArray[np.uint8]:
    read = data.read(slice(None))
    assert isinstance(read, np.ndarray)
    return read


@pytest.fixture(params=NAMES)
def shift(request: pytest.FixtureRequest) -> Shift:
    made = registry.create("shifts", request.param)
    assert isinstance(made, Shift)
    return made


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
def test_keeps_shape_range_and_labels(shift: Shift, side: int, channels: int) -> None:
    data = pictures(side, channels)
    for severity in shift.severities:
        moved = views.shifted(data, shift, severity)
        assert all_of(moved).shape == (12, side, side, channels)
        assert all_of(moved).dtype == np.uint8
        assert np.array_equal(moved.labels, data.labels) and moved.classes == data.classes
        one = shift.apply(as_float(data.items[0]), severity, np.random.default_rng(0))
        assert one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
def test_a_higher_severity_is_further_from_the_original(shift: Shift, side: int, channels: int) -> None:
    data = pictures(side, channels, n=24)
    original = all_of(data).astype(float)
    far = [np.square(all_of(views.shifted(data, shift, s)) - original).mean() for s in shift.severities]
    assert far[0] > 0
    assert all(nearer < further for nearer, further in pairwise(far)), far


def test_is_the_same_again_and_another_with_another_seed(shift: Shift) -> None:
    data = pictures(16, 1)
    once, again, other = (all_of(views.shifted(data, shift, 3, seed)) for seed in (0, 0, 1))
    assert np.array_equal(once, again)
    deterministic = {"blur", "contrast_inversion", "jpeg"}
    assert np.array_equal(once, other) == (registry.name_of("shifts", shift) in deterministic)


def test_does_not_depend_on_batch_or_order(shift: Shift) -> None:
    moved = views.shifted(pictures(16, 3), shift, 4)
    whole = all_of(moved)
    order = np.random.default_rng(0).permutation(len(moved))
    assert np.array_equal(moved.read(order), whole[order])
    assert np.array_equal(np.concatenate([moved.read(slice(row, row + 1)) for row in range(len(moved))]), whole)


def test_leaves_the_original_untouched(shift: Shift) -> None:
    picture = as_float(pictures(16, 1).items[0])
    before = picture.copy()
    shift.apply(picture, 5, np.random.default_rng(0))
    assert np.array_equal(picture, before)


def test_takes_a_picture_of_one_pixel_and_one_that_is_no_square(shift: Shift) -> None:
    for shape in ((1, 1, 1), (9, 17, 3)):
        assert shift.apply(np.full(shape, 0.5, np.float32), 5, np.random.default_rng(0)).shape == shape


def test_fields_round_trip_through_json(shift: Shift) -> None:
    fields = json.loads(json.dumps(asdict(shift)))
    assert registry.create("shifts", registry.name_of("shifts", shift), **fields) == shift


def test_content_keys_tell_shift_severity_and_seed_apart(shift: Shift) -> None:
    data = pictures(8, 1)
    made = [views.shifted(data, shift, severity, seed) for severity in (1, 2) for seed in (0, 1)]
    assert len({moved.digest() for moved in [data, *made]}) == 5
    assert views.shifted(pictures(8, 1), shift, 1).digest() == made[0].digest()


def test_no_two_shifts_look_alike() -> None:
    data = pictures(16, 1)
    looks = {all_of(views.shifted(data, registry.create("shifts", name), 5)).tobytes() for name in NAMES}
    assert len(looks) == len(NAMES)


def test_an_unknown_severity_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match=r"severity of Blur among \[1, 2, 3, 4, 5\], but got 6"):
        views.shifted(pictures(8, 1), registry.create("shifts", "blur"), 6)


def test_every_row_has_a_random_stream_of_its_own(shift: Shift) -> None:
    one = pictures(16, 1).items[0]
    twins = all_of(views.shifted(ArrayDataset(np.stack([one] * 6)), shift, 4))
    looks = len({picture.tobytes() for picture in twins})
    deterministic = {"blur", "contrast_inversion", "jpeg"}
    few = 2 if registry.name_of("shifts", shift) == "rotation" else 4
    assert looks == 1 if registry.name_of("shifts", shift) in deterministic else looks >= few


def moved(name: str, picture: NDArray[np.float32], severity: int) -> NDArray[np.float32]:
    shift = registry.create("shifts", name)
    return np.asarray(shift.apply(picture, severity, np.random.default_rng(0)))


def test_noise_has_the_spread_it_says() -> None:
    grey = np.full((64, 64, 3), 0.5, np.float32)
    assert [round(float(moved("gaussian_noise", grey, s).std()), 2) for s in (1, 2, 3)] == [0.06, 0.1, 0.15]


def test_blur_keeps_the_mean_and_spreads_a_spot_as_far_as_it_says() -> None:
    spot = np.zeros((33, 33, 1), np.float32)
    spot[16, 16] = 1
    blurred = moved("blur", spot, 4)[..., 0]
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    spread = np.sqrt((blurred.sum(axis=1) * (np.arange(33) - 16) ** 2).sum())
    assert spread == pytest.approx(2.0 * (33 / 32) ** 0.5, rel=0.02)


def test_inversion_blends_with_the_negative() -> None:
    ramp = np.linspace(0, 1, 11, dtype=np.float32).reshape(1, 11, 1)
    assert np.allclose(moved("contrast_inversion", ramp, 5), 1 - ramp)
    assert np.allclose(moved("contrast_inversion", ramp, 1), 0.8 * ramp + 0.2 * (1 - ramp))


def centre_of(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    weight = picture[..., 0] / picture.sum()
    return np.array([(weight * place).sum() for place in np.indices(weight.shape)])


def test_translation_moves_by_the_length_it_says() -> None:
    spot = np.zeros((33, 33, 1), np.float32)
    spot[15:18, 15:18] = 1
    far = [np.linalg.norm(centre_of(moved("translation", spot, s)) - 16) for s in range(1, 6)]
    assert far == pytest.approx([0.05 * 33, 0.1 * 33, 0.15 * 33, 0.2 * 33, 0.25 * 33], abs=0.01)


def test_rotation_turns_by_the_angle_it_says() -> None:
    spot = np.zeros((33, 33, 1), np.float32)
    spot[15:18, 25:28] = 1
    for severity, angle in zip(range(1, 6), (10, 20, 30, 45, 60), strict=True):
        down, along = centre_of(moved("rotation", spot, severity)) - 16
        assert abs(np.degrees(np.arctan2(down, along))) == pytest.approx(angle, abs=1)


def test_occlusion_hides_the_share_it_says() -> None:
    black = np.zeros((64, 64, 1), np.float32)
    shares = [float((moved("occlusion", black, s) == 0.5).mean()) for s in range(1, 6)]
    assert shares == pytest.approx([(edge / 8) ** 2 for edge in range(2, 7)])
