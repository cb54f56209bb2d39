"""What strategies share that learn from several domains: the losses of a step by domain, and penalties on them.

A domain is a group of the batch (``Batch.groups``). A penalty is over the domains that a step has items of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies.base import Optimizers, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class WithDomains(PictureStrategy):
    """The baseline on items whose domains are known."""

    family: ClassVar[str] = "domains"

    def check(self, data: Batch) -> None:
        super().check(data)
        if data.groups is None:
            raise UserError(
                f"Expected a domain for each training item of {type(self).__name__}, but the items have no groups. "
                "Choose a source whose items have groups, or a strategy without domains."
            )
        if len(data.groups.unique()) < 2:
            raise UserError(
                f"Expected items of at least two domains for {type(self).__name__}, but got one. "
                "Add a domain, or choose a strategy without domains."
            )


@dataclass(frozen=True)
class Penalised(WithDomains):
    """The mean loss over domains, plus ``weight`` times a penalty on how they differ.

    The penalty counts from the share ``warm_up`` of the steps on; before, the loss is the baseline's.

    Parameters
    ----------
    weight : float
    warm_up : float
        Share of the steps without the penalty.
    """

    weight: float = 1.0
    warm_up: float = 0.2

    limits: ClassVar = {"weight": (0.0, 1e6), "warm_up": (0.0, 1.0)}

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        """How domains differ, from what goes into the head [n, D]; a subclass says it."""
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        """With the penalty at its full weight."""
        features = _heads.features(network, batch.x)
        losses = torch.stack([functional.cross_entropy(z, y) for z, y in by_domain(head_of(network)(features), batch)])
        if self.weight == 0:
            return losses.mean()
        return losses.mean() + self.weight * self.penalty(network, features, batch)

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        early = optimizers.step < self.warm_up * optimizers.total
        loss = task.loss(network, batch) if early else self.loss(network, batch, task)
        optimizers.descend(loss)


def head_of(network: nn.Module) -> nn.Linear:
    """The last linear layer."""
    return last_linear(network)[1]


def domains(batch: Batch) -> Iterator[Tensor]:
    """Which rows of a batch are of each of its domains, in the order of their numbers.

    Examples
    --------
    >>> [rows.tolist() for rows in domains(Batch(torch.zeros(4), groups=torch.tensor([7, 2, 7, 2])))]
    [[1, 3], [0, 2]]
    """
    groups = torch.zeros(len(batch), dtype=torch.long) if batch.groups is None else batch.groups
    for group in groups.unique():
        yield (groups == group).nonzero()[:, 0]


def by_domain(values: Tensor, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """The values and the targets of each domain."""
    return [(values[rows], batch.targets[rows]) for rows in domains(batch)]


def spread(values: list[Tensor]) -> Tensor:
    """Mean over domains of the squared distance to the mean over domains.

    Examples
    --------
    >>> spread([torch.tensor([0.0]), torch.tensor([2.0])]).item()
    1.0
    """
    stacked = torch.stack(values)
    return (stacked - stacked.mean(0)).square().flatten(1).sum(1).mean()


def head_gradients(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """The gradient of each row's cross-entropy by the head's weight and bias, [n, C * (D + 1)]: ``(p - y) [f, 1]``."""
    slope = logits.softmax(1) - targets
    ones = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    return (slope[:, :, None] * ones[:, None, :]).flatten(1)
