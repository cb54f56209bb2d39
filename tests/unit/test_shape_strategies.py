"""Strategies that shape the feature space or the head: their formulae by hand, and what the finished networks say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.models.torch import TorchModel
from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._heads import features
from outfield.strategies._parts import lift_of, with_parts
from outfield.strategies._prototypes import on_sphere
from outfield.strategies.evidential import divergence_from_even, expected_square
from outfield.strategies.mos import MOS, clusters, group_cross_entropy
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch, Outputs

TASK = Classify(classes=3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def body() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))


BATCH = Batch(normal(8, 5), torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])])
DATA = Batch(BATCH.x, BATCH.targets.argmax(1))


def finished(strategy: object, network: nn.Module) -> nn.Module:
    found: nn.Module = strategy.finish(network, DATA, TASK).eval()  # type: ignore[attr-defined]
    return found


# groups


def test_group_cross_entropy_is_the_sum_over_groups_by_hand() -> None:
    """Classes 0, 1 | 2, 3, 4: each group has its members and an output for others."""
    groups, logits = np.array([0, 0, 1, 1, 1]), normal(4, 7).numpy()
    labels = [1, 4, 2, 0]
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        for group in (0, 1):
            places = [*np.flatnonzero(groups == group), 5 + group]
            target = label if groups[label] == group else 5 + group
            total += logsumexp(row[places]) - row[target]
    found = group_cross_entropy(torch.from_numpy(logits), torch.eye(5)[labels], torch.from_numpy(groups))
    assert found.item() == pytest.approx(total / 4, rel=1e-5)


def test_the_score_of_mos_is_the_least_probability_of_others() -> None:
    strategy = MOS(count=2, groups=[1, 0, 1])
    network = strategy.network(body, TASK)
    strategy.begin(network, DATA, TASK)
    with torch.no_grad():
        logits = network(BATCH.x).numpy()
        members = {0: [1], 1: [0, 2]}
        others = [np.exp(logits[:, 3 + g]) / np.exp(logits[:, [*m, 3 + g]]).sum(1) for g, m in members.items()]
        folded = finished(strategy, network)
        model = TorchModel(folded, example=BATCH.x.numpy(), preprocess=torch.from_numpy)
        first = model.forward(BATCH.x)
    detector = create("detectors", "mos")
    (probe,) = detector.probes()
    outputs = first.with_fields(layers=probe(model, BATCH.x, first))
    scores = detector.score(outputs, {})
    assert first.logits.shape == (8, 3)
    np.testing.assert_allclose(scores.sigmoid(), np.min(others, axis=0), rtol=1e-5)


def test_the_odds_of_the_finished_network_are_those_of_the_class_against_others() -> None:
    strategy = MOS(count=2, groups=[1, 0, 1])
    network = strategy.network(body, TASK)
    strategy.begin(network, DATA, TASK)
    with torch.no_grad():
        logits = network(BATCH.x)
        expected = logits[:, :3] - logits[:, [4, 3, 4]]
        assert torch.allclose(finished(strategy, network)(BATCH.x), expected, atol=1e-5)


def test_groups_of_mean_features_are_clusters_and_those_of_chance_have_equal_sizes() -> None:
    means = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.1, 0.0], [9.1, 0.0]])
    found = clusters(means, 2)
    assert found[0] == found[2] != found[1] == found[3]
    strategy = MOS(count=2, by="chance")
    network = strategy.network(lambda: nn.Linear(5, 4), Classify(classes=4))
    strategy.begin(network, DATA, Classify(classes=4))
    assert network.groups.bincount().tolist() == [2, 2]  # type: ignore[operator, union-attr]


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="count"):
        MOS(count=3, groups=[0, 1, 1])
    strategy = MOS(count=2, groups=[0, 1])
    with pytest.raises(UserError, match="groups of 3 classes"):
        strategy.begin(strategy.network(body, TASK), DATA, TASK)


# learned temperature


@pytest.mark.parametrize("name", ["abet", "godin"])
def test_logits_are_cosines_over_a_temperature_between_0_and_1(name: str) -> None:
    strategy = create("strategies", name)
    network = strategy.network(body, TASK).eval()
    with torch.no_grad():
        hidden = network[:2](BATCH.x)
        cosines = functional.normalize(hidden, dim=1) @ functional.normalize(last_linear(network)[1].weight, dim=1).T
        temperature = lift_of(network).lift.temperature(hidden)  # type: ignore[union-attr, operator]
        assert bool((temperature > 0).all()) and bool((temperature < 1).all())
        assert torch.allclose(network(BATCH.x), cosines / temperature, atol=1e-5)
        expected, logits = cosines / temperature, finished(strategy, network)(BATCH.x)
        assert torch.allclose(logits, expected, atol=1e-5)
        read = features(network, BATCH.x)
    assert torch.allclose(1 / read.norm(dim=1), temperature[:, 0], atol=1e-5)
    ablated = create("detectors", "energy").score(Outputs(logits=logits), {})
    whole = -temperature[:, 0] * torch.logsumexp(cosines / temperature, dim=1)
    assert torch.allclose(whole, ablated / read.norm(dim=1), atol=1e-5)
    model = TorchModel(network, example=BATCH.x.numpy(), preprocess=torch.from_numpy)
    found = create("detectors", "cosine").score(model.forward(BATCH.x), {})
    assert torch.allclose(found, -cosines.amax(1), atol=1e-5)


def test_godin_decays_all_weights_but_those_of_the_similarity() -> None:
    strategy = create("strategies", "godin", weight_decay=0.3)
    network = strategy.network(body, TASK)
    groups = strategy.optimizer(network).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


# reciprocal points


def test_arpl_is_the_papers_distance_and_loss_by_hand() -> None:
    strategy = create("strategies", "arpl", weight=0.7, margin=0.2)
    network = strategy.network(body, TASK)
    points, labels = network.points.detach().numpy(), BATCH.targets.argmax(1).numpy()
    with torch.no_grad():
        network.radius.fill_(0.1)
        hidden = network.network[:2](BATCH.x).numpy()
    away = ((hidden[:, None] - points) ** 2).mean(2)
    logits = away - hidden @ points.T
    entropy = np.mean(logsumexp(logits, axis=1) - logits[np.arange(8), labels])
    beyond = np.mean(np.maximum(0, away[np.arange(8), labels] - 0.1 + 0.2))
    assert strategy.loss(network, BATCH, TASK).item() == pytest.approx(entropy + 0.7 * beyond, rel=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(finished(strategy, network)(BATCH.x), logits, atol=1e-5)


# a second output


def test_the_confidence_branch_has_the_papers_loss_and_price() -> None:
    strategy = create("strategies", "confidence_branch", price=0.4, budget=0.3)
    network = strategy.network(body, TASK)
    held = with_parts(network)
    with torch.no_grad():
        hidden = held.network[:2](BATCH.x)  # type: ignore[index]
        p = network(BATCH.x).softmax(1)
        c = held.parts["confidence"](hidden).sigmoid()
    torch.manual_seed(3)
    hinted = torch.randint(2, (8, 1))
    torch.manual_seed(3)
    found = strategy.loss(network, BATCH, TASK)
    mixed = torch.where(hinted == 1, c * p + (1 - c) * BATCH.targets, p)
    expected = -(BATCH.targets * mixed.log()).sum(1).mean() - 0.4 * c.log().mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    strategy.after_step(network, BATCH, TASK)
    assert float(-c.log().mean()) > 0.3
    assert float(held.parts["price"].value) == pytest.approx(0.4 / 0.99)  # type: ignore[arg-type]
    logits = finished(strategy, network)(BATCH.x).detach()
    assert torch.allclose(logits.softmax(1), p, atol=1e-5)
    assert torch.allclose(logits.logsumexp(1).sigmoid(), c[:, 0], atol=1e-5)


def test_the_rotation_head_adds_the_cross_entropy_of_four_turns() -> None:
    strategy, data = create("strategies", "rotation", weight=0.5), pictures(6)
    network = strategy.network(small_cnn, TASK).eval()
    batch = Batch(data.x, functional.one_hot(data.targets, 3).float())
    with torch.no_grad():
        classes = functional.cross_entropy(network(data.x), data.targets)
        turns = []
        for quarter in range(4):
            hidden = features(network, torch.rot90(data.x, quarter, (2, 3)))
            logits = with_parts(network).parts["rotation"](hidden)
            turns.append(functional.cross_entropy(logits, torch.full((6,), quarter)))
        expected = classes + 0.5 * torch.stack(turns).mean()
    assert torch.isclose(strategy.loss(network, batch, TASK), expected, rtol=1e-5)


def test_pictures_that_are_not_square_cannot_be_turned() -> None:
    for name in ("rotation", "csi"):
        with pytest.raises(UserError, match="square"):
            create("strategies", name).check(Batch(torch.rand(2, 1, 8, 12)))


# prototypes on the sphere


def test_hypo_answers_with_the_nearest_prototype_and_drives_prototypes_apart() -> None:
    strategy = create("strategies", "hypo", batch_size=20, epochs=8)
    held: list[torch.Tensor] = []
    data = pictures(60)
    network = train(
        strategy,
        small_cnn,
        data,
        TASK,
        seed=0,
        on_step=lambda moment: held.append(on_sphere(moment.network).prototypes[:, 0].clone()),
    )
    last = held[-1]
    assert torch.allclose(last.norm(dim=1), torch.ones(3), atol=1e-5)
    assert ((last @ last.T).sum() - 3) / 6 <= -1 / 2 + 0.15
    with torch.no_grad():
        z = features(network, data.x)
        assert torch.allclose(z.norm(dim=1), torch.ones(60), atol=1e-5)
        assert torch.allclose(network(data.x), z @ last.T / 0.1, atol=1e-4)
        assert (network(data.x).argmax(1) == data.targets).float().mean() > 0.95


# losses of their own


def test_the_focal_loss_weighs_the_log_by_what_is_unsure() -> None:
    logits, labels = normal(5, 3).numpy(), [0, 1, 2, 0, 1]
    p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(5), labels]
    expected = np.mean(-((1 - p) ** 2) * np.log(p))
    batch = Batch(torch.from_numpy(logits), torch.eye(3)[labels])
    assert create("strategies", "focal", gamma=2.0).loss(nn.Identity(), batch, TASK).item() == pytest.approx(expected)


def test_the_square_loss_is_the_papers() -> None:
    logits, labels = normal(5, 3).numpy(), [0, 1, 2, 0, 1]
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        total += sum(4 * (z - 2) ** 2 if c == label else z**2 for c, z in enumerate(row)) / 3
    strategy = create("strategies", "square_loss", weight=4.0, target=2.0)
    found = strategy.loss(nn.Identity(), Batch(torch.from_numpy(logits), torch.eye(3)[labels]), TASK)
    assert found.item() == pytest.approx(total / 5, rel=1e-5)


def test_class_anchor_clustering_is_the_papers() -> None:
    logits, labels = normal(5, 3).numpy(), [0, 1, 2, 0, 1]
    away = np.linalg.norm(logits[:, None] - 4 * np.eye(3), axis=2)
    total = []
    for row, label in zip(away, labels, strict=True):
        others = [np.exp(row[label] - row[c]) for c in range(3) if c != label]
        total.append(np.log(1 + sum(others)) + 0.1 * row[label])
    strategy = create("strategies", "cac", size=4.0)
    found = strategy.loss(nn.Identity(), Batch(torch.from_numpy(logits), torch.eye(3)[labels]), TASK)
    assert found.item() == pytest.approx(np.mean(total), rel=1e-5)


def test_arcface_adds_its_margin_to_the_angle() -> None:
    strategy = create("strategies", "arcface", scale=5.0, margin=0.3)
    network = strategy.network(body, TASK)
    labels = BATCH.targets.argmax(1).numpy()
    with torch.no_grad():
        cosines = (network(BATCH.x) / 5).numpy().astype(np.float64)
    assert np.abs(cosines).max() <= 1
    logits = 5 * cosines
    logits[np.arange(8), labels] = 5 * np.cos(np.arccos(cosines[np.arange(8), labels]) + 0.3)
    expected = np.mean(logsumexp(logits, axis=1) - logits[np.arange(8), labels])
    assert strategy.loss(network, BATCH, TASK).item() == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(finished(strategy, network)(BATCH.x).detach(), 5 * cosines, atol=1e-5)


def test_evidence_is_learned_by_the_expected_square_and_its_divergence() -> None:
    alpha = torch.tensor([[2.0, 5.0, 1.5]])
    draws = torch.distributions.Dirichlet(alpha[0].double()).sample(torch.Size((200_000,)))
    target = torch.tensor([[0.0, 1.0, 0.0]])
    square = float((draws - target).square().sum(1).mean())
    assert expected_square(alpha, target).item() == pytest.approx(square, rel=0.02)
    density = torch.distributions.Dirichlet(alpha[0].double()).log_prob(draws)
    assert divergence_from_even(alpha).item() == pytest.approx(float(density.mean() - np.log(2)), rel=0.02)
