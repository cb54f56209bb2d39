from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class EMA(PictureStrategy):
    """The baseline, judged by a running average of its weights and batch statistics [1].

    Parameters
    ----------
    decay : float
        Weight of the past after each step; 1 / (1 - decay) steps are remembered.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> strategy, data, task = EMA(decay=0.9), Batch(torch.zeros(1, 1)), Classify()
    >>> pair = strategy.network(lambda: nn.Linear(1, 1, bias=False), task)
    >>> for value in (0.0, 1.0):
    ...     _ = nn.init.constant_(pair.network.weight, value)
    ...     strategy.after_step(pair, data, task)
    >>> strategy.finish(pair, data, task).weight.item()
    0.1...

    References
    ----------
    [1] Polyak, Juditsky. Acceleration of Stochastic Approximation by Averaging. SIAM J. Control and Optimization 1992.
    """

    decay: float = 0.95

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"decay": (0.0, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Averaged(make(), self.decay)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        averaged = _averaged(network)
        averaged.average.update_parameters(averaged.network)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        module: nn.Module = _averaged(network).average.module
        return module.requires_grad_()


class _Averaged(nn.Module):
    """The network that is trained, with the average of its weights beside it."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.average.requires_grad_(False)

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)


def _averaged(network: nn.Module) -> _Averaged:
    """The pair, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Averaged))
