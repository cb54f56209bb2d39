"""Other recipes of training: each does what its paper says, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._blocks import blocks
from outfield.strategies._contrast import contrastive
from outfield.strategies._parts import with_parts
from outfield.strategies.base import Optimizers
from outfield.strategies.mixstyle import mixed_style
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch

TASK = Classify(classes=3)


def test_sam_takes_the_gradient_up_the_slope_and_steps_from_where_it_was() -> None:
    """On ``w^4``: at w = 1 the slope is up, so the gradient is that at 1 + rho."""
    weight = nn.Parameter(torch.tensor([1.0]))
    network = nn.Module()
    network.register_parameter("weight", weight)
    strategy = create("strategies", "sam", rho=0.5)
    object.__setattr__(strategy, "loss", lambda network, batch, task: weight.pow(4).sum())
    optimizers = Optimizers({"all": torch.optim.SGD([weight], lr=0.01)}, backward=torch.Tensor.backward)
    strategy.step(network, Batch(torch.zeros(1)), TASK, optimizers)
    assert weight.item() == pytest.approx(1 - 0.01 * 4 * 1.5**3)


def test_swa_gives_the_even_mean_of_the_last_steps() -> None:
    data, seen = pictures(60), []
    strategy = create("strategies", "swa", batch_size=20, epochs=4, start=0.5)
    network = train(
        strategy,
        small_cnn,
        data,
        TASK,
        seed=0,
        on_step=lambda moment: seen.append(with_parts(moment.network).network.head.weight.detach().clone()),  # type: ignore[operator, union-attr]
    )
    assert len(seen) == 13
    expected = torch.stack(seen[6:]).mean(0)
    assert torch.allclose(network.head.weight, expected, atol=1e-6)  # type: ignore[arg-type, union-attr]
    inputs: list[torch.Tensor] = []
    handle = network.stem[0].register_forward_hook(lambda *given: inputs.append(given[2].detach()))  # type: ignore[index, operator, union-attr]
    network(data.x)
    handle.remove()
    norm = network.stem[1]  # type: ignore[index]
    assert torch.allclose(norm.running_mean, inputs[0].mean((0, 2, 3)), atol=1e-5)


def test_dropout_is_there_for_passes_of_the_finished_network() -> None:
    network = train(create("strategies", "dropout", batch_size=12), small_cnn, pictures(36), TASK, seed=0, epochs=1)
    x = pictures(4).x
    assert torch.equal(network(x), network(x))
    network.train()
    layer = next(module for module in network.modules() if isinstance(module, nn.Dropout))
    kept = [layer(torch.ones(4000)).count_nonzero().item() / 4000 for _ in range(3)]
    assert np.mean(kept) == pytest.approx(0.7, abs=0.03)


def test_blocks_of_a_small_network_are_those_before_its_head() -> None:
    assert len(blocks(small_cnn())) == 4
    assert len(blocks(nn.Sequential(small_cnn()))) == 4


def test_manifold_mixup_of_a_linear_network_is_mixup_wherever_it_mixes() -> None:
    """A linear map of a mixture is the mixture of the maps: so the loss depends on the draw alone, not on the place."""
    network = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False))
    batch = Batch(torch.randn(6, 4), torch.eye(3)[[0, 1, 2, 0, 1, 2]])
    strategy = create("strategies", "manifold_mixup", alpha=1.0)
    for seed in range(6):
        torch.manual_seed(seed)
        found = strategy.loss(network, batch, TASK)
        torch.manual_seed(seed)
        torch.randint(2, ())
        share = float(torch.distributions.Beta(1.0, 1.0).sample())
        partner = torch.randperm(6)
        mixed = share * network(batch.x) + (1 - share) * network(batch.x)[partner]
        target = share * batch.targets + (1 - share) * batch.targets[partner]
        assert torch.isclose(found, functional.cross_entropy(mixed, target), rtol=1e-4)


def test_mixed_style_has_the_means_and_spreads_of_the_mixture() -> None:
    maps, share = torch.randn(3, 2, 5, 5) * 2 + 1, torch.tensor([0.3, 1.0, 0.0]).view(-1, 1, 1, 1)
    partner = torch.tensor([1, 2, 0])
    mixed = mixed_style(maps, partner, share)
    mean, spread = maps.mean((2, 3)), maps.std((2, 3), correction=0)
    weights = share[:, :, 0, 0]
    assert torch.allclose(mixed.mean((2, 3)), weights * mean + (1 - weights) * mean[partner], atol=1e-4)
    expected = weights * spread + (1 - weights) * spread[partner]
    assert torch.allclose(mixed.std((2, 3), correction=0), expected, atol=1e-4)
    assert torch.allclose(mixed[1], maps[1], atol=1e-4)


def test_csi_counts_a_turned_picture_as_another_one() -> None:
    data = pictures(4)
    batch = Batch(data.x, functional.one_hot(data.targets, 3).float())
    for supervised in (False, True):
        strategy = create("strategies", "csi", supervised=supervised, weight=0.5)
        network = strategy.network(small_cnn, TASK).eval()
        views = Batch(strategy.augment(data.x), batch.y)
        with torch.no_grad():
            found = strategy.loss(network, views, TASK)
            z = network(views.x)
            hidden: list[torch.Tensor] = []
            projector = with_parts(network).network.head
            handle = projector.register_forward_pre_hook(lambda *given: hidden.append(given[1][0]))  # type: ignore[operator, union-attr]  # noqa: B023
            network(views.x)
            handle.remove()
            told = with_parts(network).parts["rotation"](hidden[0])
        groups = [
            (int(data.targets[i]) if supervised else i) * 4 + quarter
            for quarter in range(4)
            for _ in range(2)
            for i in range(4)
        ]
        quarters = torch.arange(4).repeat_interleave(8)
        expected = contrastive(z, torch.tensor(groups), 0.2) + 0.5 * functional.cross_entropy(told, quarters)
        assert torch.isclose(found, expected, rtol=1e-5)


def test_spectral_norm_bounds_every_layer_but_the_head() -> None:
    strategy = create("strategies", "spectral_norm", most=0.5, batch_size=12, epochs=5)
    network = train(strategy, small_cnn, pictures(36), TASK, seed=0)
    largest = [
        float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    assert len(largest) == 4 and max(largest) < 0.55
