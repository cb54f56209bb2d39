"""HVAE: the bounds written another way, the ratio that is nothing, and digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from outfield.detectors._vae import HierarchicalVAE
from outfield.detectors.hvae import HVAE
from outfield.errors import UserError
from outfield.types import Outputs
from tests import support_inputs


def network(levels: int = 3) -> HierarchicalVAE:
    torch.manual_seed(0)
    made = HierarchicalVAE(6, (4, 3, 2)[:levels], hidden=8, samples=2).requires_grad_(False)
    for values in made.parameters():
        values.add_(0.3 * torch.randn(values.shape))
    made.see(torch.tensor([-1.0, 3.0]))
    return made


def by_distributions(vae: HierarchicalVAE, x: Tensor, noise: Tensor, skipped: int) -> float:
    """One row's bound: PyTorch's Gaussians, level by level from the top, and the cross-entropy by hand."""
    q = [Normal(mean[0], (log / 2).exp()[0]) for mean, log in vae.posterior(x[None])]
    parts, total, z = list(noise.split(vae.latents)), 0.0, None
    for level in (2, 1, 0):
        zero = torch.zeros(vae.latents[level])
        if z is None:
            p = Normal(zero, zero + 1)
        else:
            mean, log = vae.priors[level](z[None])[0].chunk(2)
            p = Normal(mean, (log / 2).exp())
        chosen = p if level < skipped else q[level]
        z = chosen.mean + chosen.stddev * parts[level]
        if level >= skipped:
            total += float((p.log_prob(z) - q[level].log_prob(z)).sum())
    grey = ((x + 1) / 4).double()
    share = torch.sigmoid(vae.decoder(z[None])[0].double())
    return total + float((grey * share.log() + (1 - grey) * (1 - share).log()).sum())


@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_the_bounds_are_those_of_the_paper(skipped: int) -> None:
    vae, x = network(), 4 * torch.rand(5, 6, generator=torch.Generator().manual_seed(1)) - 1
    expected = [np.mean([by_distributions(vae, row, noise, skipped) for noise in vae.noise]) for row in x]
    np.testing.assert_allclose(vae.bounds(x, skipped), expected, rtol=1e-4)


def test_the_bound_lies_below_the_likelihood_that_sampling_finds() -> None:
    """One level: log p(x) by many draws of the prior; the evidence lower bound is less."""
    vae, x = network(levels=1), torch.tensor([[0.0, 1.0, 2.0, -1.0, 3.0, 0.5]])
    vae.noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(2))
    logits, grey = vae.decoder(vae.noise), vae.levels(x).expand(4000, -1)
    each = -torch.nn.functional.binary_cross_entropy_with_logits(logits, grey, reduction="none").sum(1)
    assert float(vae.bounds(x)[0]) < float(each.logsumexp(0)) - np.log(4000) + 0.01


def test_nothing_skipped_is_a_ratio_of_nothing() -> None:
    detector = HVAE(skipped=0, epochs=2)
    scores = detector.score(Outputs(inputs=support_inputs.sets(0)["test"]), support_inputs.fitted(detector, 0))
    assert scores.tolist() == [0.0] * len(scores)


def test_a_level_must_be_left() -> None:
    with pytest.raises(UserError, match="below its 2 levels"):
        HVAE(latents=(4, 2), skipped=2)


def test_digits() -> None:
    """Frozen after one calibration: shuffled .99, noise 1.00, constant .95; held-out .53, blur .73."""
    found = support_inputs.aurocs(HVAE(), 0, "shuffled", "noise", "constant")
    assert min(found["shuffled"], found["constant"]) >= 0.85
    assert found["noise"] >= 0.95
