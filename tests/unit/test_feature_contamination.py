"""Networks learn a background that says nothing of the label; linear models do not."""

from __future__ import annotations

import numpy as np
import pytest

from outfield.stats.feature_contamination import Features, TwoLayers, descended, taught

CORE, BACKGROUND = slice(0, 5), slice(5, None)
FEATURES = Features()


def trained(seed: int, *, relu: bool, by_teacher: bool = False) -> TwoLayers:
    rng = np.random.default_rng(seed)
    start = TwoLayers.start(25, 40, rng, relu=relu)
    return (taught if by_teacher else descended)(start, FEATURES, rng)


def drawn(*, shifted: bool) -> tuple[np.ndarray, np.ndarray]:
    return FEATURES.draw(2000, np.random.default_rng(99), shifted=shifted)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[TwoLayers, TwoLayers]]:
    return [(trained(seed, relu=True), trained(seed, relu=False)) for seed in range(5)]


def test_the_background_says_nothing_of_the_label() -> None:
    x, y = drawn(shifted=False)
    assert np.abs(x[:, BACKGROUND].T @ y / len(y)).max() < 0.05


def test_weights_of_the_background_grow_in_relu_networks_alone(pairs: list[tuple[TwoLayers, TwoLayers]]) -> None:
    for relu, linear in pairs:
        assert relu.growth(BACKGROUND) >= 3 * linear.growth(BACKGROUND)


def test_relu_networks_alone_fail_where_the_background_shifts(pairs: list[tuple[TwoLayers, TwoLayers]]) -> None:
    for relu, linear in pairs:
        assert relu.accuracy(*drawn(shifted=False)) > 0.99 and linear.accuracy(*drawn(shifted=False)) > 0.99
        assert linear.accuracy(*drawn(shifted=True)) > 0.99
    assert sum(relu.accuracy(*drawn(shifted=True)) < 0.95 for relu, _ in pairs) >= 4


def error(network: TwoLayers, *, shifted: bool) -> float:
    x, _ = drawn(shifted=shifted)
    return float(np.mean((network.answer(x) - x[:, CORE].sum(axis=1)) ** 2))


def test_a_student_of_robust_features_keeps_the_gap() -> None:
    """What the teacher answers does not move with the background; what the ReLU student answers does."""
    for seed in range(2):
        student, linear = (trained(seed, relu=relu, by_teacher=True) for relu in (True, False))
        assert error(student, shifted=False) < 0.1
        assert error(student, shifted=True) > 1
        assert error(linear, shifted=True) < 0.01


def test_the_step_is_against_the_gradient() -> None:
    """The slope of the logistic loss by one weight, by finite differences."""
    rng = np.random.default_rng(0)
    start = TwoLayers(rng.normal(size=(4, 25)), np.array([0.3, -0.3, 0.2, -0.2]), relu=True)
    x, y = FEATURES.draw(30, rng)

    def loss(weights: np.ndarray) -> float:
        return float(np.log1p(np.exp(-y * TwoLayers(weights, start.answers, relu=True).answer(x))).mean())

    moved = start.moved(x, -y / (1 + np.exp(y * start.answer(x))), rate=1.0)
    for place in ((0, 0), (1, 7), (3, 24)):
        step = np.zeros_like(start.weights)
        step[place] = 1e-6
        slope = (loss(start.weights + step) - loss(start.weights - step)) / 2e-6
        assert moved.weights[place] == pytest.approx(start.weights[place] - slope, abs=1e-7)
