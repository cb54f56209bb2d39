from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from outfield.strategies._domains import WithDomains, domains
from outfield.strategies.base import Optimizers, learned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Fish(WithDomains):
    """Domains are to have gradients that point one way: their inner product grows [1].

    A step descends the loss of one domain after another, in a random order, and then goes the share ``rate`` of the way
    from where it began to where it ended. To first order this ascends the inner products of the domains' gradients.

    Parameters
    ----------
    rate : float
        epsilon of the paper, of the outer step.

    Examples
    --------
    >>> Fish(rate=0.5).params["rate"]
    0.5

    References
    ----------
    [1] Shi, Seely, Torr, Siddharth, Hannun, Usunier, Synnaeve. Gradient Matching for Domain Generalization. ICLR 2022.
    """

    rate: float = 0.5

    limits: ClassVar = {"rate": (0.0, 1.0)}

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        before = [weight.detach().clone() for weight in learned(network)]
        found = list(domains(batch))
        for number in torch.randperm(len(found)).tolist():
            optimizers.descend(task.loss(network, batch[found[number]]))
        with torch.no_grad():
            for weight, old in zip(learned(network), before, strict=True):
                weight.copy_(torch.lerp(old, weight, self.rate))
