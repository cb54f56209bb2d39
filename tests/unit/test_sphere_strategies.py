"""Strategies that shape the feature space: their losses by hand, in numpy, and what their prototypes do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._prototypes import compactness, dispersion, moved, on_sphere
from outfield.strategies.ish import ISH, shaped
from outfield.strategies.palm import PALM, between, sinkhorn
from outfield.strategies.reweightood import ReweightOOD
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch

TASK = Classify(classes=3)
Z = functional.normalize(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), dim=1)
LABELS = torch.tensor([0, 1, 2, 0, 0, 1, 2, 0])


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_reweightood_is_the_papers_sum_over_pairs() -> None:
    within = between_ = 0.0
    for i in range(8):
        for j in range(i):
            s = float(Z[i] @ Z[j])
            if LABELS[i] == LABELS[j]:
                within += np.exp(-sigmoid(1 - 2 * s) * s / 0.1)
            else:
                between_ += np.exp(sigmoid(5 * s - 4) * s / 0.1)
    total = np.log(within) + np.log(between_)
    expected = total if total > 0 else np.exp(total) - 1
    assert ReweightOOD().of(3 * Z, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_a_prototype_moves_by_each_row_in_its_turn() -> None:
    prototypes = functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    expected = prototypes.clone()
    for row, label in zip(Z, LABELS.tolist(), strict=True):
        expected[label] = 0.9 * expected[label] + 0.1 * row
    expected = functional.normalize(expected, dim=1)
    assert torch.allclose(moved(prototypes, Z, LABELS, momentum=0.9), expected, atol=1e-6)


def test_compactness_and_dispersion_are_the_papers_sums() -> None:
    prototypes = functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=1).numpy()
    rows, labels = Z.numpy(), LABELS.numpy()
    logits = rows @ prototypes.T / 0.1
    compact = np.mean([np.log(np.exp(line).sum()) - line[label] for line, label in zip(logits, labels, strict=True)])
    others = [[prototypes[i] @ prototypes[j] / 0.1 for j in range(3) if j != i] for i in range(3)]
    dispersed = np.mean([np.log(np.mean(np.exp(line))) for line in others])
    given = torch.from_numpy(prototypes)
    assert compactness(Z, given, LABELS, 0.1).item() == pytest.approx(compact, rel=1e-5)
    assert dispersion(given, 0.1).item() == pytest.approx(dispersed, rel=1e-4)


@pytest.mark.parametrize("name", ["cider", "palm"])
def test_prototypes_keep_length_one(name: str) -> None:
    held: list[torch.Tensor] = []
    data = pictures(60)
    train(
        create("strategies", name, batch_size=20),
        small_cnn,
        data,
        TASK,
        seed=0,
        epochs=2,
        on_step=lambda moment: held.append(on_sphere(moment.network).prototypes.clone()),
    )
    assert all(torch.allclose(one.norm(dim=2), torch.ones(one.shape[:2]), atol=1e-5) for one in held)
    assert not torch.equal(held[0], held[-1])


def test_sinkhorn_has_the_marginals_of_an_even_sharing_out() -> None:
    shares = sinkhorn(torch.randn(60, 6, generator=torch.Generator().manual_seed(0)), epsilon=0.5, rounds=100)
    assert torch.allclose(shares.sum(1), torch.ones(60), atol=1e-3)
    assert torch.allclose(shares.mean(0), torch.full((6,), 1 / 6), atol=1e-3)


def test_shares_are_of_the_rows_own_class_and_sum_to_one() -> None:
    strategy = PALM(count=3, kept=2)
    prototypes = functional.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    shares = strategy.shares(Z, prototypes, LABELS)
    assert torch.allclose(shares.sum(1), torch.ones(8))
    assert bool(((shares > 0).sum(1) <= 2).all())
    assert all(not shares[i, [j for j in range(9) if j // 3 != label]].any() for i, label in enumerate(LABELS.tolist()))


def test_prototypes_of_a_class_are_drawn_together() -> None:
    together = functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]]), dim=1)
    apart = together[[0, 2, 1, 3]]
    assert between(together, 2) < between(apart, 2)
    assert between(together, 1) == 0


def test_two_modes_of_a_class_go_to_different_prototypes() -> None:
    """Rows in two bundles a class: each bundle has its largest share at another prototype."""
    centres = torch.eye(6)
    chance = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(60, 6, generator=chance)
    rows = functional.normalize(centres.repeat_interleave(10, 0) + noise, dim=1)
    labels = torch.arange(6).repeat_interleave(10) // 2
    prototypes = functional.normalize(centres + 0.2 * torch.randn(6, 6, generator=chance), dim=1)
    held = PALM(count=2, kept=1).shares(rows, prototypes, labels).argmax(1)
    found = held.view(6, 10).mode(dim=1).values
    assert len(set(found.tolist())) == 6


def test_the_head_of_ish_learns_from_shaped_features_and_the_rest_as_before() -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.eye(3)[[0, 1, 2, 0, 1, 2]])
    TASK.loss(network, batch).backward()
    plain = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    loss = ISH(percentile=50.0).loss(network, batch, TASK)
    loss.backward()
    found = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert torch.allclose(loss, TASK.loss(network, batch))
    with torch.no_grad():
        features = network[:2](x)
        slope = (network(x).softmax(1) - batch.targets) / 6
    assert torch.allclose(found[2], slope.T @ shaped(features, 50.0), atol=1e-6)
    assert not torch.allclose(found[2], plain[2])
    for mine, theirs in ((found[0], plain[0]), (found[1], plain[1]), (found[3], plain[3])):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_t2fnorm_trains_on_directions_and_finishes_with_lengths() -> None:
    strategy = create("strategies", "t2fnorm", temperature=0.2, batch_size=20)
    head = nn.Linear(4, 3)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1])
    expected = functional.cross_entropy(head(x / x.norm(dim=1, keepdim=True) / 0.2), labels)
    assert torch.isclose(strategy.loss(head, Batch(x, functional.one_hot(labels, 3).float()), TASK), expected)
    weight = head.weight.detach().clone()
    finished = strategy.finish(head, Batch(x, labels), TASK)
    assert torch.allclose(finished(x), x @ weight.T / 0.2 + head.bias, atol=1e-6)
