from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Focal(PictureStrategy):
    """Focal loss, ``-sum_c y_c (1 - p_c)^gamma log p_c``: what is sure counts for less [1], which calibrates [2].

    Parameters
    ----------
    gamma : float
        0 is cross-entropy; 3 in [2].

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> even = Batch(torch.zeros(1, 2), torch.eye(2)[:1])
    >>> Focal(gamma=2.0).loss(nn.Identity(), even, Classify()) / Focal(gamma=0.0).loss(nn.Identity(), even, Classify())
    tensor(0.2500)

    References
    ----------
    [1] Lin, Goyal, Girshick, He, Dollár. Focal Loss for Dense Object Detection. ICCV 2017.
    [2] Mukhoti, Kulharia, Sanyal, Golodetz, Torr, Dokania. Calibrating Deep Neural Networks using Focal Loss. NeurIPS
    2020.
    """

    gamma: float = 3.0

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"gamma": (0.0, 100.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        logs = network(batch.x).log_softmax(1)
        unsure = (1 - logs.exp()).clamp(min=1e-12) ** self.gamma
        loss: Tensor = -(batch.targets * unsure * logs).sum(1).mean()
        return loss
