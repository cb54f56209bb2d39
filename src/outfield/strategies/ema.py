from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from outfield.strategies._average import Averaged
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.types import Batch

if TYPE_CHECKING:
    from outfield.tasks.base import Task


@dataclass(frozen=True)
class EMA(PictureStrategy):
    """The baseline, judged by a running average of its weights and batch statistics [1].

    Parameters
    ----------
    decay : float
        Weight of the past after each step; 1 / (1 - decay) steps are remembered.

    Examples
    --------
    >>> EMA(decay=0.9).params["decay"]
    0.9

    References
    ----------
    [1] Polyak, Juditsky. Acceleration of Stochastic Approximation by Averaging. SIAM J. Control and Optimization 1992.
    """

    decay: float = 0.95

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"decay": (0.0, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return Averaged(make(), self.decay)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        Averaged.of(network).update()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return Averaged.of(network).finished()
