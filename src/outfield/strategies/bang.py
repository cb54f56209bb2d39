from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies import _mixing
from outfield.strategies.wise_ft import WiseFT
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Bang(WiseFT):
    """Weight interpolation after fine-tuning with label smoothing and mixup, which curb its confidence [1].

    An overconfident fine-tuned network outweighs the other in the average; so the average gains where it is curbed.

    Parameters
    ----------
    share : float
        As in ``wise_ft``.
    smoothing : float
        Label smoothing; 0 for none.
    alpha : float
        Of mixup; 0 for none. Without both it is ``wise_ft``.

    Examples
    --------
    >>> Bang(smoothing=0.0, alpha=0.0).params["share"]
    0.5

    References
    ----------
    [1] Lin, Tan, Hao, Wong, Dong, Zhang, Yang, Zhang. Spurious Feature Diversification Improves Out-of-distribution
    Generalization. ICLR 2024.
    """

    smoothing: float = 0.1
    alpha: float = 0.5

    limits: ClassVar = {**WiseFT.limits, "smoothing": (0.0, 1.0), "alpha": (0.0, 1000.0)}

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        batch = super().batch(network, batch, task)
        return _mixing.mixup(batch, self.alpha) if self.alpha else batch

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return functional.cross_entropy(network(batch.x), batch.targets, label_smoothing=self.smoothing)
