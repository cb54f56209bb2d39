"""Variational autoencoders of one level or several, for small pictures and rows: for detectors that train one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

LIMIT = 7.0
"""Bound of log variances, so that far rows stay finite."""


class HierarchicalVAE(nn.Module):
    """Latents z_1, ..., z_L: ``p(x | z_1) p(z_1 | z_2) ... p(z_L)``, and ``q(z_l | x)`` from an encoder of many layers.

    Latents are diagonal Gaussians. Elements of x are grey levels between two ends, ``see``; their likelihood is that of
    Bernoulli variables with these levels as shares. With one level of latents it is the usual variational autoencoder.

    Parameters
    ----------
    dim : int
        Elements of a row.
    latents : sequence of int
        Sizes of z_1 to z_L.
    hidden : int
        Width of hidden layers.
    samples : int
        Draws of the noise that rows share in evaluation.

    References
    ----------
    Kingma, Welling. Auto-Encoding Variational Bayes. ICLR 2014.
    Kingma et al. Improved Variational Inference with Inverse Autoregressive Flow. NeurIPS 2016.
    Sønderby et al. Ladder Variational Autoencoders. NeurIPS 2016.
    """

    noise: Tensor
    ends: Tensor

    def __init__(self, dim: int, latents: Sequence[int], hidden: int, samples: int = 1) -> None:
        super().__init__()
        self.latents = tuple(latents)
        below = (dim, *[hidden] * (len(latents) - 1))
        self.climbs = nn.ModuleList(_layers(size, hidden, hidden) for size in below)
        self.posteriors = nn.ModuleList(nn.Linear(hidden, 2 * size) for size in latents)
        self.priors = nn.ModuleList(_layers(above, hidden, 2 * size) for size, above in pairwise(latents))
        self.decoder = _layers(latents[0], hidden, dim)
        self.register_buffer("ends", torch.tensor([0.0, 1.0]))
        self.register_buffer("noise", torch.randn(samples, sum(latents)))

    def see(self, x: Tensor) -> None:
        """Take the ends of the grey levels from rows."""
        self.ends.copy_(torch.stack([x.min(), x.max()]))

    def levels(self, x: Tensor) -> Tensor:
        """Flat rows with grey levels from 0 to 1; what lies beyond the ends is at them."""
        low, high = self.ends
        levels: Tensor = ((x.flatten(1) - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        return levels

    def posterior(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and log variance of ``q(z_l | x)`` at each level."""
        hidden, found = self.levels(x), []
        for climb, head in zip(self.climbs, self.posteriors, strict=True):
            hidden = functional.silu(climb(hidden))
            found.append(_gaussian(head(hidden)))
        return found

    def prior(self, level: int, above: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of ``p(z_l | z_(l+1))``; of the standard normal at the top."""
        if above is None:
            return torch.zeros((), device=self.noise.device), torch.zeros((), device=self.noise.device)
        return _gaussian(self.priors[level](above))

    def terms(self, x: Tensor, noise: Tensor, skipped: int = 0) -> tuple[Tensor, Tensor]:
        """``log p(x | z_1)`` [n] and ``log q(z_l | x) - log p(z_l | z_(l+1))`` [n, L] of latents at one draw.

        The lowest ``skipped`` latents are drawn from p, where the second term is 0.
        """
        posterior, parts = self.posterior(x), noise.split(self.latents, dim=1)
        above, costs = None, []
        for level in reversed(range(len(self.latents))):
            prior = self.prior(level, above)
            mean, log_variance = prior if level < skipped else posterior[level]
            above = (mean + (log_variance / 2).exp() * parts[level]).expand(len(x), -1)
            costs.append(normal(above, mean, log_variance) - normal(above, *prior))
        assert above is not None
        likelihood = -functional.binary_cross_entropy_with_logits(
            self.decoder(above), self.levels(x), reduction="none"
        ).sum(1)
        return likelihood, torch.stack(costs[::-1], dim=1)

    def bounds(self, x: Tensor, skipped: int = 0) -> Tensor:
        """``L^{>k}`` of rows, [n], with k = ``skipped``: the mean over the noise that all rows share.

        ``log p(x | z_1) + sum_{l > k} (log p(z_l | z_(l+1)) - log q(z_l | x))``; with k = 0 the evidence lower bound.
        """
        drawn = (self.terms(x, one.expand(len(x), -1), skipped) for one in self.noise)
        return torch.stack([likelihood - costs.sum(1) for likelihood, costs in drawn]).mean(0)

    def cost(self, x: Tensor, free: float = 0.0, share: float = 1.0) -> Tensor:
        """What training lowers: minus the bound at fresh noise.

        A level's mean divergence from its prior counts from ``free`` nats on, and with weight ``share``.
        """
        likelihood, costs = self.terms(x, torch.randn(len(x), self.noise.shape[1]).to(x.device))
        return share * costs.mean(0).clamp(min=free).sum() - likelihood.mean()

    def forward(self, x: Tensor, skipped: int = 0) -> Tensor:
        return self.bounds(x, skipped)


def normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of rows under diagonal Gaussians, summed over elements.

    Examples
    --------
    >>> round(float(normal(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(()))), 4)
    -1.8379
    """
    found: Tensor = -((x - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)).sum(1) / 2
    return found


def _gaussian(values: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_variance = values.chunk(2, dim=1)
    return mean, log_variance.clamp(-LIMIT, LIMIT)


def _layers(given: int, hidden: int, found: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(given, hidden), nn.SiLU(), nn.Linear(hidden, found))
