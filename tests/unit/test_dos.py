"""Diverse outlier sampling: what is chosen, what is learned, and what the finished network says."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from outfield.registry import create
from outfield.strategies.dos import DOS, diverse, without_absent
from outfield.tasks.classify import Classify
from outfield.types import Batch, Outputs

TASK = Classify(classes=3)


def bundles(sizes: tuple[int, ...]) -> torch.Tensor:
    """Rows in bundles around axes of space, of the sizes given."""
    chance = torch.Generator().manual_seed(0)
    which = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return torch.eye(len(sizes))[which] + 0.05 * torch.randn(sum(sizes), len(sizes), generator=chance)


def test_one_row_of_each_cluster_is_chosen_and_it_is_the_least_absent() -> None:
    rows = bundles((20, 20, 20, 20))
    absent = torch.rand(80, generator=torch.Generator().manual_seed(1))
    chosen = diverse(rows, absent, 4, seed=0)
    assert (chosen // 20).tolist() == [0, 1, 2, 3]
    assert [int(absent[20 * i : 20 * i + 20].argmin()) + 20 * i for i in range(4)] == chosen.tolist()


def test_equal_rows_are_one_cluster() -> None:
    assert len(diverse(torch.ones(10, 3), torch.linspace(0, 1, 10), 4, seed=0)) == 1


def test_chosen_rows_lie_further_apart_than_the_hardest_ones() -> None:
    rows = bundles((76, 2, 2))
    absent = torch.where(torch.arange(80) < 76, 0.1, 0.9)
    mine, hardest = diverse(rows, absent, 3, seed=0), absent.argsort(stable=True)[:3]
    assert {int(row) for row in mine} & set(range(76, 80))
    assert torch.pdist(rows[mine]).mean() > 3 * torch.pdist(rows[hardest]).mean()


def test_outliers_are_learned_as_absent() -> None:
    x, outliers = torch.randn(3, 4), torch.randn(2, 4)
    batch = Batch(x, torch.eye(3), streams={"outliers": Batch(outliers)})
    inside, outside = (
        functional.cross_entropy(x, torch.arange(3)),
        functional.cross_entropy(outliers, torch.tensor([3, 3])),
    )
    assert torch.isclose(DOS(weight=0.5).loss(nn.Identity(), batch, TASK), inside + 0.5 * outside)


def test_energy_of_the_finished_network_ranks_as_the_probability_of_absent_does() -> None:
    head, x = nn.Linear(5, 4), torch.randn(40, 5)
    absent = head(x).softmax(1)[:, -1]
    logits = without_absent(head)(x)
    energy = create("detectors", "energy")
    scores = energy.score(Outputs(logits=logits), {})
    assert torch.equal(scores.argsort(), absent.double().argsort())
    odds = logits.logsumexp(1)
    assert torch.allclose(odds.exp(), (1 - absent) / absent, rtol=1e-4)
