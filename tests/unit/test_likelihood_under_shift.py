"""Maximum and weighted likelihood under covariate shift: which wins when the model is right, and when it is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import norm

from outfield.errors import UserError
from outfield.stats.likelihood_under_shift import density_ratio, information, least_squares, risk_constant

SOURCE, TARGET = (0.0, 1.0), (1.0, 0.7)
RUNS, N, NOISE = 200, 500, 1.0


def columns(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones_like(x), x])


@cache
def fits(curve: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of both likelihoods over simulated samples of ``1 + 2 x + curve x^2`` and noise, [runs, 2]."""
    rng, plain, weighted = np.random.default_rng(0), [], []
    for _ in range(RUNS):
        x = rng.normal(*SOURCE, N)
        y = 1 + 2 * x + curve * x**2 + NOISE * rng.normal(size=N)
        plain.append(least_squares(columns(x), y))
        weighted.append(least_squares(columns(x), y, density_ratio(x, SOURCE, TARGET)))
    return np.array(plain), np.array(weighted)


def excess(found: np.ndarray, curve: float) -> float:
    """Mean squared error on the target beyond the noise and beyond the best line there."""
    x = np.random.default_rng(1).normal(*TARGET, 20_000)
    truth = 1 + 2 * x + curve * x**2
    best = least_squares(columns(x), truth)
    return float(np.mean((columns(x) @ found.T - truth[:, None]) ** 2) - np.mean((columns(x) @ best - truth) ** 2))


def test_well_specified_the_plain_likelihood_has_the_least_risk() -> None:
    plain, weighted = (excess(one, 0.0) for one in fits(0.0))
    assert plain < 0.7 * weighted


def test_misspecified_the_weighted_likelihood_has_the_least_risk() -> None:
    plain, weighted = (excess(one, 1.0) for one in fits(1.0))
    assert weighted < 0.2 * plain


def moments(at: tuple[float, float]) -> np.ndarray:
    mean, spread = at
    return np.array([[1, mean], [mean, mean**2 + spread**2]])


def test_the_risk_of_linear_regression_is_the_constant_over_n() -> None:
    """In nats: half the squared error over the variance of the noise."""
    expected = risk_constant(moments(SOURCE) / NOISE**2, moments(TARGET) / NOISE**2)
    assert N * excess(fits(0.0)[0], 0.0) / (2 * NOISE**2) == pytest.approx(expected, rel=0.2)


def test_the_risk_of_logistic_regression_is_the_constant_over_n() -> None:
    rng, truth, n = np.random.default_rng(2), np.array([0.2, 1.0]), 1000
    far, near = (columns(np.random.default_rng(3).normal(*at, 20_000)) for at in (TARGET, SOURCE))
    p = expit(far @ truth)
    risks = []
    for _ in range(200):
        x = columns(rng.normal(*SOURCE, n))
        y = (rng.random(n) < expit(x @ truth)).astype(float)
        q = expit(far @ sm.GLM(y, x, family=sm.families.Binomial()).fit().params)
        risks.append(np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))))
    spreads = [expit(one @ truth) * (1 - expit(one @ truth)) for one in (near, far)]
    expected = risk_constant(information(near, spreads[0]), information(far, spreads[1]))
    assert n * np.mean(risks) == pytest.approx(expected, rel=0.2)


def test_weights_are_ratios_of_densities() -> None:
    x = np.linspace(-2, 3, 9)
    assert density_ratio(x, SOURCE, TARGET) == pytest.approx(norm(*TARGET).pdf(x) / norm(*SOURCE).pdf(x))


def test_weights_act_as_copies_of_rows() -> None:
    rng = np.random.default_rng(4)
    x, y, counts = columns(rng.normal(size=6)), rng.normal(size=6), np.array([1, 2, 3, 1, 1, 2])
    again = least_squares(np.repeat(x, counts, axis=0), np.repeat(y, counts))
    assert least_squares(x, y, counts.astype(float)) == pytest.approx(again)


def test_inputs_of_too_few_directions_are_told() -> None:
    with pytest.raises(UserError, match="in all directions"):
        risk_constant(np.ones((2, 2)), np.eye(2))
