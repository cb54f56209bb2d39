"""Strategies that learn from outliers beside the training set: their losses by hand, and what they do to detection."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from outfield.errors import UserError
from outfield.registry import create
from outfield.strategies import Strategy, train
from outfield.strategies.mixoe import MixOE
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch

TASK = Classify(classes=3)
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
OUTLIERS = torch.tensor([[4.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])


def batch() -> Batch:
    return Batch(LOGITS, torch.eye(3)[[0, 1]], streams={"outliers": Batch(OUTLIERS)})


def log_sum(row: list[float]) -> float:
    return math.log(sum(math.exp(value) for value in row))


def cross_entropy() -> float:
    rows: list[list[float]] = LOGITS.tolist()
    return sum(log_sum(row) - row[label] for row, label in zip(rows, (0, 1), strict=True)) / 2


def loss(strategy: Strategy) -> float:
    return strategy.loss(nn.Identity(), batch(), TASK).item()


def test_outlier_exposure_is_cross_entropy_and_that_of_the_uniform_distribution() -> None:
    even = sum(log_sum(row) - sum(row) / 3 for row in OUTLIERS.tolist()) / 3
    expected = cross_entropy() + 0.5 * even
    assert loss(create("strategies", "outlier_exposure")) == pytest.approx(expected, rel=1e-6)


def test_energy_exposure_is_cross_entropy_and_squared_hinges_of_free_energies() -> None:
    inside = sum(max(0.0, -log_sum(row) + 2.5) ** 2 for row in LOGITS.tolist()) / 2
    outside = sum(max(0.0, -2.0 + log_sum(row)) ** 2 for row in OUTLIERS.tolist()) / 3
    strategy = create("strategies", "energy_exposure", weight=0.3, inside=-2.5, outside=-2.0)
    assert loss(strategy) == pytest.approx(cross_entropy() + 0.3 * (inside + outside), rel=1e-6)


@pytest.mark.parametrize("name", ["outlier_exposure", "energy_exposure"])
def test_without_weight_the_loss_is_cross_entropy(name: str) -> None:
    assert loss(create("strategies", name, weight=0.0)) == pytest.approx(cross_entropy(), rel=1e-6)


def test_logitnorm_is_cross_entropy_of_logits_at_length_one() -> None:
    lengths = LOGITS.norm(dim=1, keepdim=True)
    expected = nn.functional.cross_entropy(LOGITS / lengths / 0.1, torch.tensor([0, 1])).item()
    assert loss(create("strategies", "logitnorm", temperature=0.1)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mixture", ["mixup", "cutmix"])
def test_targets_of_mixtures_sum_to_one_and_follow_the_share_that_is_seen(mixture: Any) -> None:
    strategy = MixOE(mixture=mixture)
    inside, outliers = torch.ones(40, 1, 8, 8), torch.zeros(40, 1, 8, 8)
    for _ in range(20):
        mixed = strategy.mixed(inside, torch.eye(3)[torch.arange(40) % 3], outliers)
        share = mixed.x.mean((1, 2, 3))
        assert torch.allclose(mixed.targets.sum(1), torch.ones(40))
        assert torch.allclose(mixed.targets.amax(1), share + (1 - share) / 3, atol=1e-6)


def exposed(name: str, **params: Any) -> nn.Module:
    """A network of bars that learned with bars turned by a right angle as outliers."""
    data = pictures(120)
    turned = Batch(pictures(120).x.transpose(2, 3).contiguous())
    streams = {"outliers": turned} if create("strategies", name).streams else {}
    strategy = create("strategies", name, batch_size=24, **params)
    return train(strategy, small_cnn, Batch(data.x, data.y, streams=streams), TASK, seed=0, epochs=12)


def confidence(network: nn.Module, x: torch.Tensor) -> float:
    with torch.inference_mode():
        return float(network(x).softmax(1).amax(1).mean())


@pytest.mark.parametrize("name", ["outlier_exposure", "mixoe"])
def test_outliers_of_the_kind_that_was_learned_get_even_answers(name: str) -> None:
    """The baseline is sure of them: .9 and more."""
    turned = pictures(60).x.transpose(2, 3).contiguous()
    assert confidence(exposed(name), turned) < 0.6 < confidence(exposed("baseline"), turned)


def test_confidence_falls_evenly_from_items_to_outliers() -> None:
    network, inside = exposed("mixoe"), pictures(60).x
    turned = inside.transpose(2, 3).contiguous()
    shares = torch.linspace(0, 1, 11)
    found = [confidence(network, torch.lerp(inside, turned, share)) for share in shares.tolist()]
    assert spearmanr(shares, found).statistic <= -0.95


def test_outliers_of_another_shape_are_told() -> None:
    data = Batch(pictures(12).x, pictures(12).y, streams={"outliers": Batch(torch.zeros(9, 3, 12, 12))})
    with pytest.raises(UserError, match=r"Expected outliers of the shape \[1, 12, 12\].*got \[3, 12, 12\]"):
        train(create("strategies", "outlier_exposure"), small_cnn, data, TASK, seed=0, epochs=1)


def test_a_mixture_that_there_is_not_is_told() -> None:
    with pytest.raises(UserError, match="mixup or cutmix"):
        create("strategies", "mixoe", mixture="blend")


def test_without_weight_or_outliers_in_the_mixture_mixoe_is_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    mixtures = Batch(LOGITS.flip(0), torch.full((2, 3), 1 / 3))
    plain = Batch(LOGITS, torch.eye(3)[[0, 1]], streams={"mixtures": mixtures})
    assert create("strategies", "mixoe", weight=0.0).loss(nn.Identity(), plain, TASK).item() == pytest.approx(
        cross_entropy(), rel=1e-6
    )
    monkeypatch.setattr("outfield.strategies._mixing.beta", lambda alpha: 1.0)
    x, targets = torch.rand(4, 1, 8, 8), torch.eye(3)[torch.arange(4) % 3]
    mixed = MixOE().mixed(x, targets, torch.zeros(4, 1, 8, 8))
    assert torch.equal(mixed.x, x) and torch.equal(mixed.targets, targets)
