from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._domains import WithDomains, domains
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class GroupDRO(WithDomains):
    """The worst domain counts most: weights of domains grow with their losses [1].

    After ``q_d <- q_d exp(rate * loss_d)``, brought to sum 1, a step descends ``sum_d q_d loss_d``.

    Parameters
    ----------
    rate : float
        Step size of the weights: 0.01 in the paper.

    Examples
    --------
    >>> GroupDRO(rate=0.1).params["rate"]
    0.1

    References
    ----------
    [1] Sagawa, Koh, Hashimoto, Liang. Distributionally Robust Neural Networks for Group Shifts. ICLR 2020.
    """

    rate: float = 0.01

    limits: ClassVar = {"rate": (0.0, 1000.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Weighted(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        count = 1 if data.groups is None else int(data.groups.max()) + 1
        _weighted(network).shares = torch.full((count,), 1 / count)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        logits, held = network(batch.x), _weighted(network)
        losses = functional.cross_entropy(logits, batch.targets, reduction="none")
        rows = list(domains(batch))
        means = torch.stack([losses[each].mean() for each in rows])
        groups = torch.stack([_group(batch, each) for each in rows])
        grown = held.shares.index_put((groups,), held.shares[groups] * (self.rate * means.detach()).exp())
        held.shares = grown / grown.sum()
        return (held.shares[groups] * means).sum()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _weighted(network).network


def _group(batch: Batch, rows: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.long) if batch.groups is None else batch.groups[rows[0]]


class _Weighted(nn.Module):
    """A network with the weights of the domains beside it."""

    shares: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shares", torch.ones(1))

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)


def _weighted(network: nn.Module) -> _Weighted:
    """The network with its weights of domains, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Weighted))
