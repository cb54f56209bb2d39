"""What strategies share that tune a network which the first part of the same run has trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies.base import Optimizers, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch

CENTRED = 256
"""Training items whose mean log-odds of ID are 0 when the second part begins."""


@dataclass(frozen=True)
class WithWarmUp(PictureStrategy):
    """The baseline for a share of the steps, with its whole schedule; then ``loss``, at a lower rate that falls to 0.

    Parameters
    ----------
    warm_up : float
        Share of the steps that train the baseline.
    tuning : float
        First learning rate of the second part, over the peak of the first.
    """

    warm_up: float = 0.5
    tuning: float = 0.1

    limits: ClassVar = {"warm_up": (0.0, 1.0), "tuning": (0.0, 10.0)}

    def turn(self, total: int) -> int:
        """The first step of the second part.

        Examples
        --------
        >>> WithWarmUp(warm_up=0.5).turn(5)
        2
        """
        return int(self.warm_up * total)

    def schedule(self, step: int, total: int) -> float:
        """The baseline's, and after it half a cosine from ``tuning`` to zero."""
        turn = self.turn(total)
        if step < turn:
            return super().schedule(step, turn)
        return self.tuning * (1 + math.cos(math.pi * (step - turn) / max(1, total - turn))) / 2

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        turn = self.turn(optimizers.total)
        if optimizers.step == turn:
            self.prepare(network, task)
        if optimizers.step < turn:
            self.warm(network, batch, task, optimizers)
        else:
            self.tune(network, batch, task, optimizers)

    def prepare(self, network: nn.Module, task: Task) -> None:
        """What the second part asks of the trained network, once, before its first step."""

    def warm(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        """A step of the first part."""
        optimizers.descend(task.loss(network, batch))

    def tune(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        """A step of the second part."""
        optimizers.descend(self.loss(network, batch, task))


class WithData(nn.Module):
    """A network with what it is trained on beside it, which no checkpoint holds: a resumed run gives it again."""

    x: Tensor | None
    y: Tensor | None

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name in ("x", "y"):
            self.register_buffer(name, None, persistent=False)

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)


class WithAbsent(WithData):
    """A network with the output for *absent* beside its classes, ``a(f) = w f + b``.

    The log-odds of ID against OOD are ``log sum_c exp z_c - a(f)``. The finished network, ``z_c - a(f)``, has them as
    its free energy, with their sign turned; its softmax is that of the classes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.absent = nn.Linear(self.head.in_features, 1)

    @property
    def head(self) -> nn.Linear:
        """The head of the classes."""
        return last_linear(self.network)[1]

    def answers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the classes [n, C] and of *absent* [n], from one forward pass."""
        features = _heads.features(self.network, x)
        return self.head(features), self.absent(features)[:, 0]

    @torch.no_grad()
    def centre(self, x: Tensor) -> None:
        """The mean log-odds of some items become 0, as those of a fresh classifier are."""
        self.absent.bias.add_(log_odds(*self.answers(x)).mean())

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The network whose logits are ``z_c - a(f)``."""
        name, head = last_linear(self.network)
        found = nn.Linear(head.in_features, head.out_features, device=head.weight.device)
        found.weight.copy_(head.weight - self.absent.weight)
        found.bias.copy_((0 if head.bias is None else head.bias) - self.absent.bias)
        return _heads.with_head(self.network, name, found)


def log_odds(logits: Tensor, absent: Tensor) -> Tensor:
    """Log-odds of ID, ``log sum_c exp z_c - a``, [n]; only *absent* and the features learn from them."""
    return logits.detach().logsumexp(1) - absent


def told_apart(inside: Tensor, outside: Tensor) -> Tensor:
    """Balanced logistic loss of log-odds of ID: the mean over ID items plus the mean over outliers, if there are any.

    Examples
    --------
    >>> told_apart(torch.zeros(3), torch.zeros(1)).item(), told_apart(torch.zeros(3), torch.zeros(0)).item()
    (1.386..., 0.693...)
    """
    of_inside, of_outside = functional.softplus(-inside).sum(), functional.softplus(outside).sum()
    return of_inside / max(1, len(inside)) + of_outside / max(1, len(outside))


def absent_of(network: nn.Module) -> WithAbsent:
    """The network with its *absent*, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, WithAbsent))
