"""What shifted training samples are worth: the closed form against simulation, and digits beside turned digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from outfield.data.shifts.rotation import Rotation
from outfield.errors import UserError
from outfield.stats.value_of_ood_data import best_target_weight, discriminant_error


@pytest.mark.parametrize(("m", "error"), [(0, 0.1855), (4, 0.1795), (256, 0.1872)])
def test_the_error_falls_and_rises_with_shifted_samples(m: int, error: float) -> None:
    """The values of the paper's setting: 4 target samples, shift .5."""
    assert discriminant_error(4, m, 0.5) == pytest.approx(error, abs=5e-5)


def learned(n: int, m: int, shift: float, weight: float, runs: int = 20_000) -> float:
    """The mean error of discriminants that were learned from drawn samples."""
    rng = np.random.default_rng(0)
    middle = np.zeros(runs)
    for share, count, at in ((weight, n, 0.0), (1 - weight, m, shift)):
        if count:
            means = [rng.normal(sign + at, 1, (runs, count // 2)).mean(axis=1) for sign in (-1, 1)]
            middle += share * np.mean(means, axis=0)
    return float(np.mean(norm.cdf(middle - 1) + norm.cdf(-middle - 1)) / 2)


@pytest.mark.parametrize(("n", "m", "shift"), [(4, 0, 0.5), (4, 4, 0.5), (4, 256, 0.5), (10, 20, 1.0)])
def test_simulated_discriminants_err_as_often(n: int, m: int, shift: float) -> None:
    assert learned(n, m, shift, n / (n + m)) == pytest.approx(discriminant_error(n, m, shift), abs=0.002)
    if m:
        assert learned(n, m, shift, 0.7) == pytest.approx(discriminant_error(n, m, shift, target_weight=0.7), abs=0.002)


@pytest.mark.parametrize("m", [4, 64, 256])
def test_the_best_weight_is_no_worse_than_either_extreme(m: int) -> None:
    weight, error = best_target_weight(4, m, 0.5)
    grid = [discriminant_error(4, m, 0.5, target_weight=one) for one in np.linspace(0, 1, 1001)]
    assert error == pytest.approx(min(grid), abs=1e-6) and 0 < weight < 1
    assert error <= min(discriminant_error(4, m, 0.5), discriminant_error(4, 0, 0.5))


def test_samples_that_there_are_not_are_told() -> None:
    for n, m, weight in ((0, 0, None), (4, 0, 0.5), (0, 4, 0.5), (4, 4, 1.5)):
        with pytest.raises(UserError, match="Expected"):
            discriminant_error(n, m, 0.5, target_weight=weight)


COUNTS = (0, 30, 100, 400, 1000)


def errors(seed: int, severity: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Errors on digits for a choice, and on others, of classifiers of 40 digits and so many turned ones, [2, counts].

    Then those with the most turned ones, where the 40 have a stated share of the weight, [2, weights].
    """
    digits, rng = load_digits(), np.random.default_rng(seed)
    order = rng.permutation(len(digits.images))
    pictures = (digits.images / 16).astype(np.float32)[order, :, :, None]
    y, turned = digits.target[order], [Rotation().apply(one, severity, rng) for one in pictures[40:1040]]
    x = np.concatenate([pictures[:40], turned, pictures[1040:]]).reshape(len(y), -1)

    def error(m: int, weight: float | None = None) -> list[float]:
        share = np.ones(40 + m) if weight is None else np.repeat([weight / 40, (1 - weight) / m], [40, m]) * (40 + m)
        fitted = LogisticRegression(max_iter=40, tol=1e-2).fit(x[: 40 + m], y[: 40 + m], sample_weight=share)
        return [1 - float(fitted.score(x[part], y[part])) for part in (slice(1040, 1400), slice(1400, None))]

    alike, weighted = [error(m) for m in COUNTS], [error(COUNTS[-1], one) for one in (0.2, 0.4, 0.6, 0.8)]
    return np.array(alike).T, np.array(weighted).T


@pytest.fixture(scope="module")
def found() -> list[tuple[np.ndarray, np.ndarray]]:
    return [errors(seed) for seed in range(5)]


def test_some_turned_digits_are_worth_more_than_none_or_all(found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Digits turned by 30 degrees to either side, five seeds: the best count lies between the ends in most."""
    assert sum(0 < int(alike[1].argmin()) < len(COUNTS) - 1 for alike, _ in found) >= 3


def test_a_weight_chosen_on_target_digits_is_no_worse_than_either_extreme(
    found: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    chosen = [weighted[1][weighted[0].argmin()] for _, weighted in found]
    extremes = [min(alike[1][0], alike[1][-1]) for alike, _ in found]
    assert sum(one <= other for one, other in zip(chosen, extremes, strict=True)) >= 4
    assert np.mean(chosen) < np.mean(extremes) - 0.02
