"""Rays that leave the data: a toy in two dimensions, where uncertainty saturates and a distance does not."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_moons
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from outfield import TorchModel
from outfield.errors import UserError
from outfield.models.preprocess import Table
from outfield.models.rays import ray_probe
from outfield.registry import create
from outfield.reports.results import Results
from outfield.testing import simulated

Floats = NDArray[np.float64]
X, Y = make_moons(400, noise=0.1, random_state=0)
INPUTS = torch.tensor(X, dtype=torch.float32)


@cache
def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = (nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU())
        net = nn.Sequential(*hidden, nn.Linear(64, 2))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(INPUTS), torch.tensor(Y)).backward()
            optimizer.step()
    return net.eval()


def test_uncertainty_saturates_along_rays() -> None:
    found = ray_probe(TorchModel(network(0), X[:1]), INPUTS, 200)
    assert found.scales[-1] == 1e4 and found.gradient.shape == (200, 5)
    assert found.flat()[-1] >= 0.95
    assert np.median(found.confidence[:, -1]) >= 0.99
    assert "cannot tell how far" in found.sentences()[0]
    assert found.frame()["flat"].to_list() == found.flat().tolist()


def test_the_gradient_is_that_of_the_entropy() -> None:
    """By differences, in double precision, near the data where it is not flat."""
    double = copy.deepcopy(network(0)).double()
    model, start = TorchModel(double, X[:1], preprocess=Table(double=True)), INPUTS[:5].double()
    found = ray_probe(model, start, torch.tensor([[1.0, 0.0]] * 5).double(), scales=(0.0,))

    def entropy(x: Tensor) -> Tensor:
        p = model.forward(x).logits.softmax(1)
        return -(p * p.log()).sum(1)

    step = 1e-6 * torch.eye(2).double()
    slopes = torch.stack([(entropy(start + e) - entropy(start - e)) / 2e-6 for e in step], dim=1)
    np.testing.assert_allclose(found.gradient[:, 0], slopes.norm(dim=1).detach().numpy(), atol=1e-7)


def test_uncertainty_misses_far_points_that_a_distance_finds() -> None:
    """AUROC of far points against held-out ones; MSP, ten dropout passes, five networks, and the 5 nearest points."""
    known, _ = make_moons(300, noise=0.1, random_state=1)
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    far = 1e3 * np.column_stack([np.cos(angle), np.sin(angle)])
    both, out = np.concatenate([known, far]), np.repeat([0, 1], 300)
    x = torch.tensor(both, dtype=torch.float32)
    networks = [network(seed) for seed in range(5)]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        single = networks[0](x).softmax(1)
        several = torch.stack([net(x).softmax(1) for net in networks]).mean(0)
        networks[0].train()
        dropped = torch.stack([networks[0](x).softmax(1) for _ in range(10)]).mean(0)
        networks[0].eval()
    for name, p in {"msp": single, "ensemble": several, "dropout": dropped}.items():
        assert roc_auc_score(out, -p.amax(1).numpy()) <= 0.6, name
    near = NearestNeighbors(n_neighbors=5).fit(X)
    assert roc_auc_score(out, near.kneighbors(both)[0][:, -1]) >= 0.95


@pytest.mark.parametrize(
    ("x", "directions", "says"),
    [
        (torch.zeros(0, 2), 3, "Expected inputs to start rays from"),
        (torch.zeros(1, 2), torch.ones(4, 3), r"Expected directions \[rays, 2\]"),
        (torch.zeros(1, 2), torch.zeros(4, 2), "but one has length 0"),
    ],
)
def test_rays_that_lead_nowhere_are_refused(x: Tensor, directions: int | Tensor, says: str) -> None:
    with pytest.raises(UserError, match=says):
        ray_probe(TorchModel(network(0), X[:1]), x, directions)


def test_the_analysis_compares_uncertainty_with_distances() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp", "knn"), shifts=())
    auroc = pl.col("metric") == "auroc"
    fell = rows.with_columns(
        value=pl.when(auroc & (pl.col("detector") == "msp") & (pl.col("ood_category") == "extreme"))
        .then(pl.col("value") * 0.4)
        .otherwise("value")
    )
    found = create("analyses", "uncertainty_far_out").of(Results.of(fell))
    assert "extreme:" in found.sentences()[0]
    extreme = [one.code for one in found.findings() if "On extreme inputs" in one.sentence]
    assert extreme == ["OF036"]
    msp = fell.filter(auroc, pl.col("part").is_null(), pl.col("ood_category") == "extreme", pl.col("detector") == "msp")
    shown = found.frame().filter(pl.col("category") == "extreme", pl.col("information") == "outputs")["mean"].item()
    assert shown == pytest.approx(msp["value"].mean())
