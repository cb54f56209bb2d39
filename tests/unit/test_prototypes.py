"""Five scores of how typical an item is, on digits with wrong labels and a rare mode planted among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.datasets import load_digits
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.prototypes import (
    SCORES,
    Prototypes,
    Training,
    adversarial_distance,
    agreement,
    confidence,
    prototypes,
    retraining,
)
from outfield.registry import create
from outfield.reports.results import Results
from outfield.testing import simulated

N, PLANTED = 400, 12


@dataclass(frozen=True)
class Planted:
    """The first items have wrong labels, the next ones are negatives: light digits on dark paper turned around."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@cache
def planted() -> Planted:
    pixels, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(pixels))
    x, y = pixels[order] / 16, labels[order]
    test = torch.tensor(x[N:], dtype=torch.float32), torch.tensor(y[N:])
    y[:PLANTED] = (y[:PLANTED] + rng.integers(1, 10, PLANTED)) % 10
    x[PLANTED : 2 * PLANTED] = 1 - x[PLANTED : 2 * PLANTED]
    return Planted(torch.tensor(x[:N], dtype=torch.float32), torch.tensor(y[:N]), *test)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


@cache
def found() -> Prototypes:
    return prototypes(
        network, planted().x, planted().y, Training(members=3, steps=120, private_steps=50, noises=(1.0, 2.0))
    )


def test_the_scores_agree() -> None:
    assert (found().correlations()["rho"] > 0).sum() >= 8


def test_wrong_labels_and_a_rare_mode_are_in_the_lowest_tenth() -> None:
    lowest = np.argsort(found().combined())[: N // 10]
    assert np.isin(np.arange(PLANTED), lowest).mean() >= 0.7
    assert np.isin(np.arange(PLANTED, 2 * PLANTED), lowest).mean() >= 0.7


def test_prototypes_are_none_of_what_was_planted() -> None:
    kinds = found().kinds()
    assert "prototype" in kinds.to_list()
    assert "prototype" not in kinds[: 2 * PLANTED].to_list()


def accuracy(rows: np.ndarray, seed: int) -> float:
    data = planted()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = network()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(data.x[rows]), data.y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return float((net(data.test_x).argmax(1) == data.test_y).float().mean())


def test_the_most_typical_fifth_teaches_no_worse_than_a_random_one() -> None:
    first = found().curriculum(planted().y)[: N // 5]
    orders = [np.random.default_rng(seed).permutation(N)[: N // 5] for seed in range(5)]
    typical = np.mean([accuracy(first, seed) for seed in range(5)])
    assert typical >= np.mean([accuracy(rows, seed) for seed, rows in enumerate(orders)]) - 0.01
    assert {int(label) for label in planted().y[first[:10]]} == set(range(10))


def test_scores_of_probabilities_are_those_of_scipy() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), (3, 6))
    pairs = [(0, 1), (0, 2), (1, 2)]
    js = np.mean([[jensenshannon(p[a, i], p[b, i]) ** 2 for i in range(6)] for a, b in pairs], axis=0)
    np.testing.assert_allclose(agreement(p), -js)
    np.testing.assert_allclose(confidence(p), [np.mean([one[i].max() for one in p]) for i in range(6)])
    kl = [entropy(a, b) + entropy(b, a) for a, b in zip(p[0], p[1], strict=True)]
    np.testing.assert_allclose(retraining(p[0], p[1]), np.negative(kl))


def test_the_adversarial_distance_of_a_linear_network_is_that_to_its_nearest_hyperplane() -> None:
    net, x = nn.Linear(5, 3), torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w, z = net.weight.numpy(), net(x).numpy()
    expected = []
    for logits in z:
        own = logits.argmax()
        expected.append(min((logits[own] - logits[c]) / np.linalg.norm(w[own] - w[c]) for c in range(3) if c != own))
    np.testing.assert_allclose(adversarial_distance(net, x), expected, rtol=0.01)


@pytest.mark.parametrize(
    ("labels", "how", "says"),
    [
        (torch.zeros(5).long(), Training(), "Expected a label for each of at least four items"),
        (torch.zeros(9).long(), Training(members=1), "Expected at least two members"),
    ],
)
def test_what_cannot_be_scored_is_said(labels: Tensor, how: Training, says: str) -> None:
    with pytest.raises(UserError, match=says):
        prototypes(network, torch.zeros(9, 64), labels, how)


def test_kinds_by_hand() -> None:
    """Of ten items: the last two are high by all, the first is sure and lost when held out, the second to privacy."""
    base = np.arange(10.0)
    table = dict.fromkeys(SCORES, base) | {
        "confidence": np.array([8.5, *base[1:]]),
        "agreement": np.array([0, 8.5, *base[2:]]),
    }
    kinds = Prototypes(pl.DataFrame(table)).kinds()
    assert kinds.to_list() == ["memorised", "uncommon", *[None] * 6, "prototype", "prototype"]


def test_the_analysis_of_a_study_names_typical_and_contested_items() -> None:
    rows = simulated.rows(seeds=2, detectors=("msp",), shifts=())
    names, merits = rows["model"].unique().sort().to_list(), np.ones((24, 4))
    merits[:, 1], merits[12:, 2] = 0, 0
    at = {"model": np.repeat(names, 4), "set": "test", "row": np.tile(np.arange(4), 24), "merit": merits.ravel()}
    answer = create("analyses", "typical_items").of(Results.of(rows, pl.DataFrame(at)))
    assert dict(answer.frame().select("row", "kind").iter_rows()) == {
        0: "typical",
        1: "missed",
        2: "contested",
        3: "typical",
    }
    assert answer.sentences()[0].startswith("All 24 models are right on 2 of 4 ID test items")
