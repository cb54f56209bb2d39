"""Softmax is not enough: attention disperses as sets grow, and an adaptive temperature holds it together."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from outfield import registry
from outfield.errors import UserError
from outfield.strategies import train
from outfield_sequences.networks.max_attention import MaxAttention
from outfield_sequences.softmax import COEFFICIENTS, Softmax, adaptive_softmax, entropy, inverse_temperature
from outfield_sequences.sources.priorities import Priorities
from outfield_sequences.tasks.max_retrieval import MaxRetrieval

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, nn.Module]:
    """The network of ``adamw`` and that of ``adaptive_temperature``, of one seed: 400 steps of 128 sets."""
    task = MaxRetrieval(train=20_000)
    data = task.batch(next(task.wanted(seed=0)).load())
    given = {"steps": 400, "batch_size": 128, "learning_rate": 0.002}
    plain, adaptive = (
        train(registry.create("strategies", name, **given), lambda: MaxAttention(10), data, task, seed=0)
        for name in ("adamw", "adaptive_temperature")
    )
    return plain, adaptive


def asked(network: MaxAttention, n: int) -> tuple[float, float]:
    """Accuracy and mean top attention on 200 sets of n entries."""
    data = Priorities(200, n, n, seed=9).load()
    sets, labels = torch.from_numpy(data.read(slice(0, 200))), torch.from_numpy(data.labels)
    with torch.inference_mode():
        right = (network(sets).argmax(1) == labels).float().mean()
        return float(right), float(network.weights(sets).amax(1).mean())


def test_attention_disperses_as_sets_grow(trained: tuple[MaxAttention, MaxAttention]) -> None:
    """Calibrated once, seed 0: .89 on 8 entries, falling to .05 on 1024 (reference .96 and .17)."""
    tops = [asked(trained[0], n)[1] for n in SIZES]
    assert all(one > other for one, other in pairwise(tops))
    assert tops[0] > 0.8
    assert tops[-1] < 0.2


def test_adaptive_temperature_helps_at_every_larger_size(trained: tuple[MaxAttention, MaxAttention]) -> None:
    """Calibrated once, seed 0; frozen: nowhere worse from 32 entries on, and 5 points better from 256 on."""
    gains = {n: asked(trained[1], n)[0] - asked(trained[0], n)[0] for n in SIZES[2:]}
    assert min(gains.values()) >= 0
    assert min(gain for n, gain in gains.items() if n >= 256) >= 0.05


def test_both_strategies_give_the_same_weights(trained: tuple[nn.Module, nn.Module]) -> None:
    plain, adaptive = trained
    assert all(one.equal(other) for one, other in zip(plain.parameters(), adaptive.parameters(), strict=True))
    assert (plain.attention.temperature, adaptive.attention.temperature) == ("plain", "adaptive")


@given(st.integers(0, 10_000), st.floats(0.1, 20.0))
@settings(max_examples=50, deadline=None)
def test_sharp_rows_stay_exactly_as_they_are(seed: int, scale: float) -> None:
    logits = scale * torch.randn(40, 12, generator=torch.Generator().manual_seed(seed))
    plain, adaptive = logits.softmax(-1), adaptive_softmax(logits)
    sharp = entropy(plain) <= 0.5
    assert adaptive[sharp].equal(plain[sharp])
    assert (entropy(adaptive) <= entropy(plain) + 1e-6).all()


def test_adaptive_softmax_is_the_papers_formula() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (200, 30))
    weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropies = -(weights * np.log(weights)).sum(1)
    fitted = np.maximum(1, np.polyval((-0.037, 0.481, -2.3, 4.917, -1.791), entropies))
    sharper = np.exp(logits * np.where(entropies > 0.5, fitted, 1)[:, None])
    expected = sharper / sharper.sum(1, keepdims=True)
    assert (fitted > 1.1).any()
    torch.testing.assert_close(adaptive_softmax(torch.from_numpy(logits)), torch.from_numpy(expected))


def test_the_temperature_begins_where_entropy_is_above_a_half() -> None:
    found = inverse_temperature(torch.tensor([0.0, 0.5, 0.501, 1.0, 2.0, 8.0]))
    assert found[[0, 1, 5]].tolist() == [1, 1, 1]
    assert found[4] > found[2] >= 1
    assert found[3] == pytest.approx(sum(COEFFICIENTS))


def test_bounded_logits_disperse_whatever_the_weights() -> None:
    """The theorem: logits in [-m, M] give no entry more than exp(m + M) / n."""
    for n in SIZES:
        logits = torch.rand(50, n) * 4 - 2
        assert logits.softmax(-1).max() <= math.exp(4) / n


@pytest.mark.parametrize("temperature", ["plain", "adaptive"])
def test_places_without_an_entry_count_for_nothing(temperature: str) -> None:
    network = MaxAttention(classes=3, width=8, temperature=temperature)
    row = torch.tensor([[0.3, 0.8, 2.0, 1.0]])
    padded = torch.tensor([[0.3, 0.8, 0.0, 0.0, 2.0, 1.0, -1.0, -1.0]])
    torch.testing.assert_close(network(padded), network(row))
    assert network.weights(padded)[0, 2:].tolist() == [0, 0]


def test_the_order_of_entries_does_not_matter() -> None:
    network, data = MaxAttention(classes=10, width=8), Priorities(20, 9, 9).load()
    rows = torch.from_numpy(data.read(slice(0, 20))).reshape(20, 2, 9)
    torch.testing.assert_close(network(rows.flip(2).reshape(20, -1)), network(rows.reshape(20, -1)))


def test_the_label_is_the_class_of_the_largest_entry() -> None:
    data = Priorities(300, fewest=2, most=7, classes=4, seed=5).load()
    rows = data.read(slice(0, 300))
    numbers = (rows[:, 7:] >= 0).sum(1)
    assert (numbers.min(), numbers.max()) == (2, 7)
    expected = [row[7 + max(range(n), key=row.__getitem__)] for row, n in zip(rows, numbers, strict=True)]
    assert data.labels.tolist() == expected


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UserError, match="Expected a temperature among plain, adaptive, but got 'warm'"):
        Softmax("warm")
    with pytest.raises(UserError, match="Expected at least 1 set"):
        Priorities(10, fewest=4, most=3)
    with pytest.raises(UserError, match=r"more than 16 entries, but got \[8\]"):
        MaxRetrieval(entries=(8, 32))
    task, strategy = MaxRetrieval(train=50), registry.create("strategies", "adaptive_temperature", steps=1)
    with pytest.raises(UserError, match="Choose the network max_attention"):
        strategy.finish(nn.Linear(2, 2), task.batch(next(task.wanted(0)).load()), task)


def test_attention_entropy_ranks_larger_sets_further_out(trained: tuple[MaxAttention, MaxAttention]) -> None:
    detector = registry.create("detectors", "attention_entropy")
    probe = detector.probes()[0]
    medians: list[Tensor] = []
    for n in (8, 64, 512):
        items = Priorities(100, n, n, seed=3).load().read(slice(0, 100))
        model = MaxRetrieval().model(trained[0], items)
        x = model.prepare(items)
        with torch.inference_mode():
            out = model.forward(x, layers=("attention",))
            out = out.with_fields(layers=probe(model, x, out))
        medians.append(detector.score(out, {}).median())
    assert medians == sorted(medians)
    with pytest.raises(UserError, match="Expected a model that shows the layer 'attention'"):
        probe(model, x, model.forward(x))
