"""Masked modelling: what the loss depends on, which steps learn what, and that labels stay unseen where they may."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._parts import with_parts
from outfield.strategies.masked_modelling import MaskedModelling, drawn, hidden_error, patches
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch

TASK = Classify(classes=3)
VIT = partial(create, "networks", "tiny_vit", classes=3, side=12, width=16, depth=1, heads=2)
NETWORKS = pytest.mark.parametrize("make", [VIT, small_cnn], ids=["tiny_vit", "small_cnn"])


def begun(make: object) -> tuple[MaskedModelling, nn.Module, torch.Tensor]:
    strategy, data = MaskedModelling(), pictures(6)
    network = strategy.network(make, TASK)  # type: ignore[arg-type]
    strategy.begin(network, data, TASK)
    return strategy, network.eval(), data.x


def test_the_error_is_over_hidden_patches_alone() -> None:
    hidden = torch.tensor([[True, False, False], [False, False, True]])
    found, target = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    error = hidden_error(found, target, hidden)
    by_hand = (found[0, 0] - target[0, 0]).abs().sum() + (found[1, 2] - target[1, 2]).abs().sum()
    assert torch.isclose(error, by_hand / 8)
    seen = target + (~hidden)[:, :, None] * 5.0
    assert torch.equal(hidden_error(found, seen, hidden), error)
    assert not torch.equal(hidden_error(found, target + hidden[:, :, None] * 5.0, hidden), error)


@NETWORKS
def test_what_is_hidden_is_not_seen_by_the_network(make: object) -> None:
    _, network, x = begun(make)
    decoder = with_parts(network).parts["decoder"]
    hidden = drawn(6, 9, 0.5)
    other = x.clone()
    block = patches(other, 4)
    changed = torch.where(hidden[:, :, None], torch.rand_like(block), block)
    other = torch.nn.functional.fold(changed.transpose(1, 2), (12, 12), 4, stride=4)
    assert not torch.equal(other, x)
    with torch.no_grad():
        one, two = (decoder(network.network, decoder.masked(each, hidden)) for each in (x, other))  # type: ignore[operator, union-attr]
        seen = decoder(network.network, decoder.masked(1 - x, hidden))  # type: ignore[operator, union-attr]
    assert torch.equal(one, two) and not torch.equal(one, seen)


def test_patches_go_back_to_the_picture_they_came_from() -> None:
    x = torch.rand(2, 3, 8, 12)
    assert patches(x, 4).shape == (2, 6, 48)
    assert torch.equal(torch.nn.functional.fold(patches(x, 4).transpose(1, 2), (8, 12), 4, stride=4), x)


def test_so_many_patches_are_hidden_in_each_picture_at_chance() -> None:
    hidden = drawn(500, 9, 0.5)
    assert set(hidden.sum(1).tolist()) == {4}
    assert hidden.float().mean(0).sub(4 / 9).abs().max() < 0.08


@NETWORKS
def test_pre_training_alone_sees_no_label_but_for_the_head(make: object) -> None:
    data = pictures(36)
    runs = []
    for labels in (data.targets, data.targets.flip(0)):
        strategy = MaskedModelling(pretraining=1.0, epochs=2, batch_size=12)
        network = train(strategy, make, Batch(data.x, labels), TASK, seed=0)  # type: ignore[arg-type]
        head = last_linear(network)[0]
        runs.append({name: one for name, one in network.state_dict().items() if not name.startswith(head)})
    assert all(torch.equal(one, runs[1][name]) for name, one in runs[0].items())


def test_the_head_rests_while_patches_are_filled_in_and_the_decoder_afterwards() -> None:
    strategy = MaskedModelling(pretraining=0.5, epochs=4, batch_size=12)
    heads: list[torch.Tensor] = []
    decoders: list[torch.Tensor] = []

    def look(moment: object) -> None:
        held = with_parts(moment.network)  # type: ignore[attr-defined]
        heads.append(last_linear(held.network)[1].weight.detach().clone())
        decoders.append(held.parts["decoder"].blank.detach().clone())  # type: ignore[operator, union-attr]

    train(strategy, VIT, pictures(36), TASK, seed=0, on_step=look)
    assert len(heads) == 13
    assert all(torch.equal(one, heads[0]) for one in heads[:7]) and not torch.equal(heads[7], heads[6])
    assert all(torch.equal(one, decoders[6]) for one in decoders[6:]) and not torch.equal(decoders[1], decoders[0])


def test_sides_that_no_patch_divides_are_refused() -> None:
    with pytest.raises(UserError, match="patch 5"):
        MaskedModelling(patch=5).check(pictures(3))
    with pytest.raises(UserError, match="side"):
        create("networks", "tiny_vit", classes=3, side=10)
    with pytest.raises(UserError, match="12 pixels"):
        VIT()(torch.rand(1, 1, 8, 8))
