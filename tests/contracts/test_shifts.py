"""Our own covariate shifts keep their contract, and do what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from outfield import registry
from outfield.data import views
from outfield.data.base import Shift
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError
from outfield.testing.shifts import CHECKS, pictures, values

NAMES = registry.own("shifts")
DETERMINISTIC = {"blur", "contrast_inversion", "jpeg"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, check: Callable[[Shift], None]) -> None:
    check(registry.create("shifts", name))


def test_no_two_shifts_look_alike() -> None:
    data = pictures(16, 1)
    looks = {values(views.shifted(data, registry.create("shifts", name), 5)).tobytes() for name in NAMES}
    assert len(looks) == len(NAMES)


def test_an_unknown_severity_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match=r"severity of Blur among \[1, 2, 3, 4, 5\], but got 6"):
        views.shifted(pictures(8, 1), registry.create("shifts", "blur"), 6)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_random_stream_of_its_own(name: str) -> None:
    shift, one = registry.create("shifts", name), pictures(16, 1).items[0]
    looks = len({picture.tobytes() for picture in values(views.shifted(ArrayDataset(np.stack([one] * 6)), shift, 4))})
    assert looks == 1 if name in DETERMINISTIC else looks >= (2 if name == "rotation" else 4)


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
