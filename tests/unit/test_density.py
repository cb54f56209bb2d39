"""Generative detectors: what they learn is a density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from outfield.detectors._density import Density
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.types import Outputs
from tests.plugin_example.src.outfield_example.flow import Flow


class White(nn.Module):
    """The standard normal density; its one weight is a shift that training leaves at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * ((x - self.shift).square() + np.log(2 * np.pi)).sum(1)


@dataclass(frozen=True)
class Diagonal(Density):
    """A Gaussian with a diagonal covariance, which standardising alone makes."""

    rate: float = 1e-9
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"

    def network(self, shape: torch.Size) -> nn.Module:
        return White()


def drawn(n: int = 3000, seed: int = 0) -> Tensor:
    """A ring: no Gaussian, and its middle is empty."""
    rng = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(n, generator=rng)
    radius = 2 + 0.15 * torch.randn(n, generator=rng)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def test_scores_of_a_white_network_are_those_of_the_gaussian_with_the_moments_of_the_rows() -> None:
    x = drawn() * torch.tensor([1.0, 5.0]) + 3
    state = Diagonal(epochs=1).fit(FitData.of(Outputs(features=x)))
    peer = multivariate_normal(x.double().mean(0), np.diag(x.double().var(0, correction=0)))
    scores = Diagonal().score(Outputs(features=x), state)
    np.testing.assert_allclose(scores, -peer.logpdf(x.numpy()), rtol=1e-4, atol=1e-4)


def test_a_flow_is_a_density_and_finds_the_hole_that_moments_do_not_see() -> None:
    flow, x = Flow(epochs=40, rate=5e-3), drawn()
    state = flow.fit(FitData.of(Outputs(features=x)))
    axis = torch.linspace(-6, 6, 301)
    grid = torch.cartesian_prod(axis, axis)
    mass = float(flow.log_density(grid, state).double().exp().sum() * (axis[1] - axis[0]) ** 2)
    assert mass == pytest.approx(1, abs=0.02)
    middle, ring = 0.3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1)), drawn(1000, seed=2)
    assert (
        float((flow.score(Outputs(features=middle), state)[:, None] > -flow.log_density(ring, state)).float().mean())
        > 0.9
    )
    gaussian = Diagonal(epochs=1).fit(FitData.of(Outputs(features=x)))
    found, known = (Diagonal().score(Outputs(features=rows), gaussian) for rows in (middle, ring))
    assert float((found[:, None] > known).float().mean()) < 0.1


def test_the_seed_decides_and_the_generator_of_others_is_untouched() -> None:
    data = FitData.of(Outputs(features=drawn(300)))
    before = torch.random.get_rng_state()
    one, same, other = (Flow(epochs=1, seed=seed).fit(data) for seed in (0, 0, 1))
    Flow().log_density(drawn(5), one)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_constant_features_and_bad_settings() -> None:
    flow = Flow(epochs=1)
    state = flow.fit(FitData.of(Outputs(features=torch.cat([drawn(300), torch.full((300, 2), 7.0)], dim=1))))
    moved = torch.cat([drawn(50), torch.full((50, 2), 8.0)], dim=1)
    assert flow.score(Outputs(features=moved), state).isfinite().all()
    assert flow.score(Outputs(features=moved), state).min() > 100
    assert Flow(epochs=1).fit(FitData.of(Outputs(features=torch.ones(9, 2))))["scale"].tolist() == [1, 1]
    with pytest.raises(UserError, match="Expected epochs of Flow from 1"):
        Flow(epochs=0)
