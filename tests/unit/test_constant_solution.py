"""The optimal constant solution, what networks do far from their data, and decisions that may abstain."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn

from outfield.data.shifts.blur import Blur
from outfield.errors import UserError
from outfield.metrics.distance_to_constant import DistanceToConstant
from outfield.registry import create
from outfield.reports.results import Results
from outfield.stats.constant_solution import ABSTAIN, constant_distance, decide, mean_cost, optimal_constant
from outfield.testing import simulated

Floats = NDArray[np.float64]
CONFUSED = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of noise in a blend."""


def test_the_solver_finds_the_marginal_and_the_mean() -> None:
    """Against a numerical search for the constant of least loss."""
    rng = np.random.default_rng(0)
    labels, targets = rng.choice(4, 300, p=[0.1, 0.2, 0.3, 0.4]), rng.normal(2, 1, (300, 3))
    searched = minimize(lambda z: -np.log(softmax(z))[labels].mean(), np.zeros(4)).x
    np.testing.assert_allclose(optimal_constant(labels), softmax(searched), atol=1e-4)
    np.testing.assert_array_equal(optimal_constant(labels), np.bincount(labels) / 300)
    searched = minimize(lambda c: ((targets - c) ** 2).sum(axis=1).mean(), np.zeros(3)).x
    np.testing.assert_allclose(optimal_constant(targets, "squared_error"), searched, atol=1e-4)
    np.testing.assert_array_equal(optimal_constant(targets, "squared_error"), targets.mean(axis=0))


def test_the_metric_is_the_mean_distance_to_the_marginal() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 3, (500, 5)), rng.integers(0, 5, 500)
    plain = constant_distance(softmax(logits, axis=1), optimal_constant(labels)).mean()
    assert DistanceToConstant()(logits, labels).value == pytest.approx(plain, abs=2e-3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: optimal_constant([]), "Expected targets to find the best constant"),
        (lambda: optimal_constant([0.5, 1.0]), "Expected class numbers"),
        (lambda: optimal_constant([0, 1], "hinge"), "Expected a loss of cross_entropy, squared_error"),  # type: ignore[arg-type]
        (lambda: constant_distance([[0.5, 0.5]], [1.0]), r"Expected predictions \[n, 1\]"),
        (lambda: decide([[0.5, 0.5]], wrong=1.0, abstain=2.0), "Expected abstaining to cost from 0"),
    ],
)
def test_what_makes_no_sense_is_said(call: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        call()  # type: ignore[operator]


@cache
def digits() -> tuple[Floats, NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Training and test pictures [n, 64] in [0, 1], with their labels."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16, y[order]
    return x[:1200], y[:1200], x[1200:], y[1200:]


@cache
def network(loss: str) -> nn.Module:
    """A network of two hidden layers, trained with cross-entropy, or to say one-hot labels with squared error."""
    x, y, *_ = digits()
    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
        for _ in range(100):
            said = net(inputs)
            hot = nn.functional.one_hot(labels, 10).float()
            lost = ((said - hot) ** 2).sum(1).mean() if loss == "mse" else nn.functional.cross_entropy(said, labels)
            optimizer.zero_grad()
            lost.backward()
            optimizer.step()
    return net


def said(loss: str, x: Floats) -> Floats:
    net = network(loss)
    with torch.inference_mode():
        found = net(torch.tensor(x, dtype=torch.float32)).double().numpy()
    return found if loss == "mse" else softmax(found, axis=1)


def blurred(severity: int) -> Floats:
    x, rng = digits()[2], np.random.default_rng(0)
    if severity == 0:
        return x
    pictures = x.reshape(-1, 8, 8, 1).astype(np.float32)
    return np.stack([Blur().apply(one, severity, rng).ravel() for one in pictures])


def blended(share: float) -> Floats:
    """With noise whose every pixel is drawn from that pixel's own values."""
    x, rng = digits()[2], np.random.default_rng(0)
    return (1 - share) * x + share * np.column_stack([rng.permutation(pixel) for pixel in x.T])


def test_squared_error_falls_back_to_the_mean_on_a_blend_with_noise() -> None:
    constant = optimal_constant(np.eye(10)[digits()[1]], "squared_error")
    at = (0.0, *CONFUSED)
    found = [constant_distance(said("mse", blended(share)), constant, "squared_error").mean() for share in at]
    assert spearmanr(at, found).statistic <= -0.8, found
    assert found[-1] < 0.5 * found[0]


def test_cross_entropy_falls_back_to_the_marginal_under_blur() -> None:
    constant = optimal_constant(digits()[1])
    found = [constant_distance(said("ce", blurred(severity)), constant).mean() for severity in range(6)]
    assert spearmanr(range(6), found).statistic <= -0.8, found


def test_abstaining_costs_less_where_the_shift_is_severe() -> None:
    """Risk-sensitive decisions of the network itself against always answering, both at the same costs."""
    costs, labels = {"wrong": 1.0, "abstain": 0.3}, digits()[3]
    for severity in (4, 5):
        p = said("ce", blurred(severity))
        always, careful = mean_cost(p.argmax(axis=1), labels, **costs), mean_cost(decide(p, **costs), labels, **costs)
        assert careful <= always - 0.02, (severity, always, careful)
    assert (decide(said("ce", blurred(0)), **costs) == ABSTAIN).mean() < 0.1


def rows(direction: float) -> pl.DataFrame:
    """Rows whose distance changes with every severity of each shift, with a little noise of the model."""
    table = simulated.rows(seeds=1, detectors=("msp",), shifts=("blur", "occlusion"))
    noise = pl.col("model").hash(0).mod(100) / 10_000 * pl.col("severity").fill_null(0)
    moved = 2.0 + direction * 0.1 * pl.col("severity").fill_null(0) + noise
    chosen = pl.col("metric") == "distance_to_constant"
    return table.with_columns(value=pl.when(chosen).then(moved).otherwise("value"))


def test_the_analysis_names_shifts_of_which_predictions_fall_back() -> None:
    down, up = (create("analyses", "constant_under_shift").of(Results.of(rows(sign))) for sign in (-1.0, 1.0))
    assert down.sentences()[0].startswith("Under 2 of 2 shifts predictions fall back") and "blur" in down.sentences()[0]
    assert up.sentences()[0].startswith("Under none of 2 shifts") and "surer there than on ID" in up.sentences()[1]
    fallen = down.frame().filter(pl.col("shift") == "blur").sort("severity")["distance"].to_list()
    assert fallen[0] - fallen[-1] == pytest.approx(0.5, abs=0.1)
