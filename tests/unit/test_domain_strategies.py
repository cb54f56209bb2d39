"""Strategies that learn from several domains: penalties by hand or by another way, and what they are without weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.registry import create
from outfield.strategies import Optimizers, train
from outfield.strategies._domains import head_gradients
from outfield.strategies.fish import Fish
from outfield.strategies.fishr import Fishr
from outfield.strategies.group_dro import GroupDRO
from outfield.strategies.hessian_alignment import HessianAlignment, diagonal, hessian_gradient
from outfield.strategies.irm import scale_slope
from outfield.strategies.spectral_decoupling import SpectralDecoupling
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch

TASK = Classify(classes=3)
PENALISED = ["irm", "vrex", "coral", "fishr", "hessian_alignment"]


def drawn(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch() -> Batch:
    return Batch(drawn((12, 4)), torch.eye(3)[torch.arange(12) % 3], groups=torch.arange(12) % 2)


def head(seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(4, 3)


def risks(network: nn.Module) -> list[torch.Tensor]:
    given = batch()
    logits = network(given.x)
    return [functional.cross_entropy(logits[given.groups == d], given.targets[given.groups == d]) for d in (0, 1)]


@pytest.mark.parametrize("name", PENALISED)
def test_without_weight_the_loss_is_the_mean_risk_of_the_domains(name: str) -> None:
    network = head()
    found = create("strategies", name, weight=0.0).loss(network, batch(), TASK)
    assert torch.isclose(found, torch.stack(risks(network)).mean())


def test_vrex_adds_the_variance_of_the_risks() -> None:
    network = head()
    one, other = (risk.item() for risk in risks(network))
    expected = (one + other) / 2 + 7 * np.var([one, other])
    assert create("strategies", "vrex", weight=7.0).loss(network, batch(), TASK).item() == pytest.approx(expected)


def test_irm_adds_the_squared_slopes_by_a_scale_of_the_logits() -> None:
    network, given, slopes = head(), batch(), []
    for domain in (0, 1):
        rows = given.groups == domain
        scale = torch.ones((), requires_grad=True)
        risk = functional.cross_entropy(network(given.x[rows]) * scale, given.targets[rows])
        (slope,) = torch.autograd.grad(risk, scale)
        assert torch.isclose(scale_slope(network(given.x[rows]), given.targets[rows]), slope, atol=1e-6)
        slopes.append(slope.item())
    expected = torch.stack(risks(network)).mean().item() + 3 * np.mean(np.square(slopes))
    found = create("strategies", "irm", weight=3.0).loss(network, given, TASK)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_coral_adds_the_gaps_of_means_and_covariances() -> None:
    given = batch()
    one, other = (given.x[given.groups == domain].numpy() for domain in (0, 1))
    gaps = np.mean((one.mean(0) - other.mean(0)) ** 2) + np.mean((np.cov(one.T) - np.cov(other.T)) ** 2)
    found = create("strategies", "coral").penalty(head(), given.x, given)
    assert found.item() == pytest.approx(gaps, rel=1e-5)


def test_the_gradients_of_the_head_are_those_of_autograd() -> None:
    network, given = head(), batch()
    found = head_gradients(network(given.x), given.targets, given.x).view(12, 3, 5)
    for row in range(12):
        loss = functional.cross_entropy(network(given.x[row : row + 1]), given.targets[row : row + 1])
        weight, bias = torch.autograd.grad(loss, [network.weight, network.bias])
        assert torch.allclose(found[row], torch.cat([weight, bias[:, None]], 1), atol=1e-6)


def test_fishr_adds_the_spread_of_the_variances_of_gradients() -> None:
    network, given = head(), batch()
    gradients = head_gradients(network(given.x), given.targets, given.x).detach().numpy()
    one, other = (gradients[(given.groups == domain).numpy()].var(0) for domain in (0, 1))
    expected = (np.sum((one - other) ** 2) / 2) / 2
    assert Fishr().penalty(network, given.x, given).item() == pytest.approx(expected, rel=1e-4)


def explicit() -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    """A head, the gradient of its loss, and the Hessian by the weight, all of it."""
    network, given = head(), batch()

    def risk(weight: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(given.x @ weight.view(3, 4).T + network.bias, given.targets)

    weight = network.weight.detach().flatten().requires_grad_()
    (slope,) = torch.autograd.grad(risk(weight), weight)
    return network, slope, torch.autograd.functional.hessian(risk, weight)


def test_the_product_of_hessian_and_gradient_is_the_explicit_one() -> None:
    network, slope, hessian = explicit()
    loss = functional.cross_entropy(network(batch().x), batch().targets)
    (graph,) = torch.autograd.grad(loss, network.weight, create_graph=True)
    assert torch.allclose(hessian_gradient(graph, network.weight).flatten(), hessian @ slope, atol=1e-5)


def test_hutchinsons_estimate_is_unbiased() -> None:
    network, _, hessian = explicit()
    loss = functional.cross_entropy(network(batch().x), batch().targets)
    (graph,) = torch.autograd.grad(loss, network.weight, create_graph=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = diagonal(graph, network.weight, draws=3000).detach().flatten()
    assert torch.allclose(found, hessian.diagonal(), atol=0.02)


def test_equal_domains_cost_nothing() -> None:
    given = batch()
    twice = Batch(given.x.repeat(2, 1), given.targets.repeat(2, 1), torch.arange(24) // 12)
    for name in ("vrex", "coral", "fishr", "hessian_alignment"):
        assert create("strategies", name).penalty(head(), twice.x, twice).item() == pytest.approx(0, abs=1e-8)


def test_an_estimate_that_there_is_not_is_told() -> None:
    with pytest.raises(UserError, match="hgp or hutchinson"):
        HessianAlignment(estimate="guess")  # type: ignore[arg-type]  # the mistake


def test_group_dro_weighs_domains_by_their_losses() -> None:
    strategy, network = GroupDRO(rate=0.5), head()
    held = strategy.network(lambda: network, TASK)
    strategy.begin(held, batch(), TASK)
    one, other = (risk.item() for risk in risks(network))
    q = np.exp(0.5 * np.array([one, other]))
    q /= q.sum()
    assert strategy.loss(held, batch(), TASK).item() == pytest.approx(q @ [one, other], rel=1e-5)
    again = q * np.exp(0.5 * np.array([one, other]))
    again /= again.sum()
    assert strategy.loss(held, batch(), TASK).item() == pytest.approx(again @ [one, other], rel=1e-5)
    assert strategy.finish(held, batch(), TASK) is network


def test_fish_goes_part_of_the_way_through_the_domains() -> None:
    network, given = head(), batch()
    start = network.weight.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        order = torch.randperm(2).tolist()
        torch.manual_seed(3)
        Fish(rate=0.25).step(network, given, TASK, Optimizers({"all": optimizer}, torch.Tensor.backward))
    other = head()
    steps = torch.optim.SGD(other.parameters(), lr=0.1)
    for domain in order:
        rows = given.groups == domain
        steps.zero_grad()
        functional.cross_entropy(other(given.x[rows]), given.targets[rows]).backward()
        steps.step()
    assert torch.allclose(network.weight, torch.lerp(start, other.weight, 0.25), atol=1e-6)


def test_spectral_decoupling_adds_half_the_mean_squared_logit() -> None:
    network, given = head(), batch()
    logits = network(given.x)
    expected = functional.cross_entropy(logits, given.targets) + 0.3 / 2 * ((logits - 1) ** 2).mean()
    assert torch.isclose(SpectralDecoupling(weight=0.3, target=1.0).loss(network, given, TASK), expected)


@pytest.mark.parametrize("name", [*PENALISED, "group_dro", "fish"])
def test_items_without_domains_are_told(name: str) -> None:
    data = pictures(12)
    with pytest.raises(UserError, match="Expected a domain for each training item"):
        train(create("strategies", name), small_cnn, data, TASK, seed=0, epochs=1)
    with pytest.raises(UserError, match="at least two domains"):
        train(create("strategies", name), small_cnn, with_one_domain(data), TASK, seed=0, epochs=1)


def with_one_domain(data: Batch) -> Any:
    return Batch(data.x, data.y, groups=torch.zeros(len(data), dtype=torch.long))
