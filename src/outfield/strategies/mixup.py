from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies import _mixing
from outfield.strategies.base import Strategy


@dataclass(frozen=True)
class MixUp(Strategy):
    """Training on mixtures of two pictures and of their targets, ``lambda ~ Beta(alpha, alpha)`` [1].

    Parameters
    ----------
    alpha : float
        Larger values mix more evenly; the paper takes 0.2 to 0.4 on ImageNet, 1 on CIFAR.

    Examples
    --------
    >>> MixUp(alpha=0.2).family
    'augmentation'

    References
    ----------
    [1] Zhang, Cissé, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
    """

    alpha: float = 1.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0)}

    def batch(self, network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return _mixing.mixup(x, y, self.alpha)
