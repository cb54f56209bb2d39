from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from outfield.strategies.base import Strategy


@dataclass(frozen=True)
class EMA(Strategy):
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

    def averaged(self, network: nn.Module) -> AveragedModel:
        return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(self.decay), use_buffers=True)
