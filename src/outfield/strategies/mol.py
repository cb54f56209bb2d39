from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from outfield.strategies._domains import WithDomains, domains
from outfield.strategies._losses import energy, squared_hinge
from outfield.strategies._outliers import WithOutliers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class MOL(WithDomains, WithOutliers):
    """A start from which few items of a new domain suffice: meta OOD learning [1].

    For each domain of a batch, ``steps`` gradient steps on half of its items and outliers lead to adapted weights; the
    loss of these on the other half, mean over domains, is what the start descends, through the steps. Both losses are
    ``CE + weight * (mean max(0, E(x) - inside)^2 + mean max(0, outside - E(outlier))^2)``, as in ``energy_exposure``.

    The finished network is the start. ``adapted`` takes the same steps on items of a domain that arrives.

    Parameters
    ----------
    steps : int
        Inner steps.
    rate : float
        Their learning rate.
    weight, inside, outside : float
        Of the energies.

    Examples
    --------
    >>> outliers = {"outliers": Batch(torch.randn(6, 3))}
    >>> items = Batch(torch.randn(6, 3), torch.eye(2)[[0, 1, 0, 1, 0, 1]], streams=outliers)
    >>> start = nn.Linear(3, 2)
    >>> same, moved = (adapted(MOL(), start, items, steps=steps) for steps in (0, 2))
    >>> torch.equal(same.weight, start.weight), torch.equal(moved.weight, start.weight)
    (True, False)

    References
    ----------
    [1] Wu, Lu, Fang, Zhang. Meta OOD Learning For Continuously Adaptive OOD Detection. ICCV 2023.
    """

    steps: int = 1
    rate: float = 0.05
    weight: float = 0.1
    inside: float = -7.0
    outside: float = -2.0

    family: ClassVar[str] = "outlier exposure"
    limits: ClassVar = {
        **WithOutliers.limits,
        "steps": (0, 100),
        "rate": (0.0, 100.0),
        "weight": (0.0, 100.0),
        "inside": (-1e4, 1e4),
        "outside": (-1e4, 1e4),
    }

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        outliers = batch.streams["outliers"].x
        found = [self.after_steps(network, batch[rows], outliers) for rows in domains(batch)]
        return torch.stack(found).mean()

    def after_steps(self, network: nn.Module, items: Batch, outliers: Tensor) -> Tensor:
        """The loss on the second half of a domain's items and of the outliers, after steps on the first."""
        weights: dict[str, Tensor] = dict(network.named_parameters())
        (one, other), (few, rest) = halves(items), halves(outliers)
        for _ in range(self.steps):
            weights = descended(self, network, weights, one, few, graph=True)
        return energy_loss(self, network, weights, other, rest)


Some = TypeVar("Some", Batch, Tensor)


def halves(items: Some) -> tuple[Some, Some]:
    """Every other item, and the rest; of one item that item twice."""
    return items[::2], items[1::2] if len(items) > 1 else items


def energy_loss(
    strategy: MOL, network: nn.Module, weights: dict[str, Tensor], items: Batch, outliers: Tensor
) -> Tensor:
    """Cross-entropy and margins of energy with these weights, from one forward pass."""
    logits: Tensor = functional_call(network, weights, (torch.cat([items.x, outliers]),))
    inside, outside = logits.split([len(items), len(outliers)])
    margins = squared_hinge(energy(inside) - strategy.inside) + squared_hinge(strategy.outside - energy(outside))
    return functional.cross_entropy(inside, items.targets) + strategy.weight * margins


def descended(
    strategy: MOL, network: nn.Module, weights: dict[str, Tensor], items: Batch, outliers: Tensor, *, graph: bool
) -> dict[str, Tensor]:
    """The weights after one inner step; with ``graph`` their gradients pass it."""
    loss = energy_loss(strategy, network, weights, items, outliers)
    slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=graph)
    pairs = zip(weights.items(), slopes, strict=True)
    return {name: weight - strategy.rate * slope for (name, weight), slope in pairs}


def adapted(strategy: MOL, network: nn.Module, items: Batch, *, steps: int) -> nn.Module:
    """A copy of a finished network after inner steps on labelled items of a domain and their ``outliers``.

    Batch statistics stay as they are.

    Parameters
    ----------
    strategy : MOL
    network : nn.Module
    items : Batch
        With targets: class numbers, or shares of classes; and the stream ``outliers``.
    steps : int
        Of none the copy is the network.
    """
    found = deepcopy(network).eval().requires_grad_()
    weights: dict[str, Tensor] = dict(found.named_parameters())
    for _ in range(steps):
        weights = descended(strategy, found, weights, items, items.streams["outliers"].x, graph=False)
        weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    found.load_state_dict(weights, strict=False)
    return found
