"""MSMA: the score of a Gaussian, the mixture of norms, and digits."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from outfield.detectors.msma import MSMA
from outfield.types import Outputs
from tests import support_inputs


def test_norms_of_a_gaussian_are_its_own() -> None:
    """Of N(m, s^2) in 4-D the score at x under noise sigma is -(x - m) / (s^2 + sigma^2): 5% on the mean."""
    rng = torch.Generator().manual_seed(0)
    x = 2 + 3 * torch.randn(4000, 4, generator=rng)
    msma = MSMA(scales=4, smallest=0.3, epochs=30, batch=256, hidden=64)
    fresh = 2 + 3 * torch.randn(1000, 4, generator=rng)
    found = msma.norms(fresh, msma.learn(x))
    sigma = torch.tensor([0.3 * (5 / 0.3) ** (k / 3) for k in range(4)])
    expected = sigma * ((fresh - 2) / 3).norm(dim=1, keepdim=True) / (1 + sigma**2)
    np.testing.assert_allclose(found.mean(0), expected.mean(0), rtol=0.05)
    assert ((found - expected).abs().mean(0) < 0.1 * expected.mean(0)).all()


def test_the_score_is_minus_the_log_density_of_the_norms() -> None:
    """SciPy's Gaussians, with what the state holds of them."""
    msma = MSMA(epochs=3, components=3)
    state = support_inputs.fitted(msma, 0)
    x = support_inputs.sets(0)["test"][:40]
    norms = msma.norms(x, state).double().numpy()
    inverses = [np.linalg.inv(one) for one in state["whiteners"].numpy()]
    densities = [
        multivariate_normal(mean @ inverse, inverse.T @ inverse).logpdf(norms)
        for mean, inverse in zip(state["means"].numpy(), inverses, strict=True)
    ]
    heights = [np.linalg.slogdet(one)[1] - 5 * np.log(2 * np.pi) for one in state["whiteners"].numpy()]
    weights = state["logs"].numpy() - heights
    assert abs(np.exp(weights).sum() - 1) < 1e-9
    expected = -logsumexp(np.stack(densities, 1) + weights, axis=1)
    np.testing.assert_allclose(msma.score(Outputs(inputs=x), state), expected, rtol=1e-6)


def test_digits() -> None:
    """Frozen after one calibration, on two seeds: held-out .87, shuffled and noise 1.00, blur .99."""
    found = support_inputs.aurocs(MSMA(), 0, "held-out", "shuffled", "noise", "blur", "constant")
    assert found["held-out"] >= 0.8
    assert found["blur"] >= 0.85
    assert min(found["shuffled"], found["noise"], found["constant"]) >= 0.95
