from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from outfield.strategies.base import Optimizers, PictureStrategy, learned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SAM(PictureStrategy):
    """Sharpness-aware minimisation: the gradient is taken where the loss is worst nearby, ``w + rho g / |g|`` [1].

    Two passes a step.

    Parameters
    ----------
    rho : float
        0.05 in the paper.

    Examples
    --------
    >>> SAM(rho=0.1).params["rho"]
    0.1

    References
    ----------
    [1] Foret, Kleiner, Mobahi, Neyshabur. Sharpness-Aware Minimization for Efficiently Improving Generalization. ICLR
    2021.
    """

    rho: float = 0.05

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"rho": (0.0, 100.0)}

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        network.zero_grad()
        optimizers.backward(self.loss(network, batch, task))
        weights = [weight for weight in learned(network) if weight.grad is not None]
        climb = [weight.grad.clone() for weight in weights if weight.grad is not None]
        length = torch.stack([one.norm() for one in climb]).norm() + 1e-12
        steps = [self.rho * one / length for one in climb]
        before = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, step in zip(weights, steps, strict=True):
                weight.add_(step)

        def back() -> None:
            for weight, old in zip(weights, before, strict=True):
                weight.data.copy_(old)

        optimizers.descend(self.loss(network, batch, task), change=back)
