from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from outfield.strategies import _mixing
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class MixUp(PictureStrategy):
    """Training on mixtures of two pictures and of their targets, ``lambda ~ Beta(alpha, alpha)`` [1].

    Parameters
    ----------
    alpha : float
        Larger values mix more evenly; the paper takes 0.2 to 0.4 on ImageNet, 1 on CIFAR.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> mixed = MixUp(alpha=0.2).batch(nn.Identity(), Batch(torch.rand(4, 1, 8, 8), torch.eye(4)), Classify())
    >>> bool((mixed.targets.count_nonzero(dim=1) <= 2).all()), mixed.targets.sum(1)
    (True, tensor([1., 1., 1., 1.]))

    References
    ----------
    [1] Zhang, Cissé, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
    """

    alpha: float = 1.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0)}

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        return _mixing.mixup(super().batch(network, batch, task), self.alpha)
