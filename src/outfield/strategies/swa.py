from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from outfield.strategies._parts import WithParts, with_parts
from outfield.strategies.base import MakeNetwork, Optimizers, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SWA(PictureStrategy):
    """Stochastic weight averaging: the even mean of the weights of the last steps, at a learning rate that stays [1].

    From the share ``start`` of the steps on, the rate is ``rate`` times its peak, and the mean is taken after each step
    (in the paper, each pass over the training set). Batch statistics are then taken anew, of the training set.

    Parameters
    ----------
    start : float
        0.75 in the paper.
    rate : float

    Examples
    --------
    >>> [round(SWA(start=0.5, rate=0.2).schedule(step, 10), 2) for step in (2, 5, 9)]
    [1.0, 0.2, 0.2]

    References
    ----------
    [1] Izmailov, Podoprikhin, Garipov, Vetrov, Wilson. Averaging Weights Leads to Wider Optima and Better
    Generalization. UAI 2018.
    """

    start: float = 0.75
    rate: float = 0.2

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"start": (0.0, 1.0), "rate": (0.0, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        average = AveragedModel(network)
        return WithParts(network, {"average": average.requires_grad_(False)})

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def schedule(self, step: int, total: int) -> float:
        return self.rate if step >= self.start * total else super().schedule(step, total)

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        super().step(network, batch, task, optimizers)
        if optimizers.step + 1 >= self.start * optimizers.total:
            _average(network).update_parameters(with_parts(network).network)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        average = _average(network)
        update_bn(data.x.split(1024), average)
        module: nn.Module = average.module
        return module.requires_grad_()


def _average(network: nn.Module) -> AveragedModel:
    return next(module for module in network.modules() if isinstance(module, AveragedModel))
