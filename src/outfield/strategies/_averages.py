"""Averages of the weights of networks of one shape: between two, and over the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """``(1 - share) start + share end`` of weights and statistics by name; counts are the end's.

    Examples
    --------
    >>> between({"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}, 0.25)
    {'w': tensor([1.])}
    """
    return {
        name: start[name].lerp(value, share) if value.is_floating_point() else value.clone()
        for name, value in end.items()
    }


def beta_weights(total: int, beta: float) -> Tensor:
    """Weights of the steps 0 to ``total``, the density of Beta(beta, beta) at ``(t + 1/2) / (total + 1)``, of sum 1.

    Examples
    --------
    >>> beta_weights(2, 0.5)
    tensor([0.3643, 0.2715, 0.3643], dtype=torch.float64)
    """
    places = (torch.arange(total + 1, dtype=torch.float64) + 0.5) / (total + 1)
    density = (places * (1 - places)) ** (beta - 1)
    return density / density.sum()


@torch.no_grad()
def add_to_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """``average + share (network - average)`` for every weight, in place."""
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight.to(mean.dtype), share)


def share_of(weights: Tensor, step: int) -> float:
    """What step t takes of the running average: its weight over the sum of those so far.

    Examples
    --------
    >>> share_of(torch.tensor([1.0, 1.0, 2.0]), 2)
    0.5
    """
    return float(weights[step] / weights[: step + 1].sum())
