"""Virtual outliers: what queues hold, where points are drawn, and that the draw is the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._parts import with_parts
from outfield.strategies._prototypes import on_sphere
from outfield.strategies._virtual import Queues, boundary, unlikely
from outfield.strategies.vos import weighted
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn

TASK = Classify(classes=3)


def test_queues_hold_the_last_features_of_each_class() -> None:
    queues = Queues(classes=3, size=3, features=1)
    for start in (0.0, 10.0):
        queues.push(torch.arange(start, start + 5)[:, None], torch.tensor([0, 0, 1, 0, 1]))
    assert sorted(queues.rows[0].flatten().tolist()) == [10.0, 11.0, 13.0]
    assert sorted(queues.rows[1].flatten().tolist()) == [4.0, 12.0, 14.0]
    assert [len(rows) for rows in queues.held()] == [3, 3]


def test_unlikely_points_are_the_least_dense_of_as_many_draws() -> None:
    """Against drawing them all and keeping the one of least density, as the authors do: the same distribution."""
    torch.manual_seed(0)
    groups = [torch.randn(40, 4) @ torch.diag(torch.tensor([3.0, 1.0, 1.0, 0.5])), 6 + torch.randn(40, 4)]
    means = torch.stack([rows.mean(0) for rows in groups])
    away = torch.cat([rows - rows.mean(0) for rows in groups])
    covariance = away.T @ away / 80 + 1e-4 * torch.eye(4)
    mine = torch.stack([unlikely(groups, draws=200, count=1) for _ in range(3000)])
    theirs = []
    for mean in means:
        gaussian = torch.distributions.MultivariateNormal(mean, covariance)
        points = gaussian.sample(torch.Size((3000, 200)))
        theirs.append(points[torch.arange(3000), gaussian.log_prob(points).argmin(1)])
    for number, one in enumerate(theirs):
        gaussian = torch.distributions.MultivariateNormal(means[number], covariance)
        ours, reference = gaussian.log_prob(mine[:, number]), gaussian.log_prob(one)
        for q in (0.1, 0.5, 0.9):
            assert ours.quantile(q).item() == pytest.approx(reference.quantile(q).item(), abs=0.25)
        spread = ((mine[:, number] - means[number]).std(0), (one - means[number]).std(0))
        assert torch.allclose(*spread, rtol=0.1)


def test_boundary_points_lie_beside_the_loneliest_and_far_from_the_rest() -> None:
    torch.manual_seed(0)
    crowd = functional.normalize(torch.tensor([1.0, 0.0, 0.0]) + 0.05 * torch.randn(50, 3), dim=1)
    lonely = functional.normalize(torch.tensor([[0.6, 0.8, 0.0]]), dim=1)
    found = boundary(torch.cat([crowd, lonely]), k=3, edges=1, draws=200, count=3, sigma=0.1)
    assert found.shape == (3, 3) and torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    assert bool(((found @ lonely.T) > 0.85).all())
    third = torch.cdist(found, torch.cat([crowd, lonely])).sort(1).values[:, 2]
    own = torch.cdist(lonely, crowd).sort(1).values[:, 1]
    assert bool((third > own).all())


def test_the_weighted_energy_is_the_papers() -> None:
    logits, weights = np.array([[1.0, 2.0, 0.5]]), np.array([0.3, -1.0, 2.0])
    expected = np.log(sum(max(w, 0) * np.exp(z) for w, z in zip(weights, logits[0], strict=True)))
    found = weighted(torch.from_numpy(logits), torch.from_numpy(weights))
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["vos", "npos"])
def test_outliers_are_told_apart_from_the_start_on_and_not_before(name: str) -> None:
    strategy = create("strategies", name, batch_size=20, epochs=4, start=0.5, queue=30)
    learned: list[torch.Tensor] = []

    def look(moment: object) -> None:
        network: nn.Module = moment.network  # type: ignore[attr-defined]
        part = with_parts(network).parts["uncertainty"] if name == "vos" else on_sphere(network).told
        assert isinstance(part, nn.Module)
        learned.append(torch.cat([weight.detach().flatten() for weight in part.parameters()]).clone())

    train(strategy, small_cnn, pictures(60), TASK, seed=0, on_step=look)
    assert len(learned) == 13
    assert all(torch.equal(one, learned[0]) for one in learned[:7])
    assert not torch.equal(learned[7], learned[0])
