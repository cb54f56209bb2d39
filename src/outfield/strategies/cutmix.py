from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from outfield.strategies import _mixing
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class CutMix(PictureStrategy):
    """A box of another picture is pasted in, and the targets are mixed by area, ``lambda ~ Beta(alpha, alpha)`` [1].

    Parameters
    ----------
    alpha : float
        The paper takes 1: the share of the area is uniform.

    Examples
    --------
    >>> CutMix().alpha
    1.0

    References
    ----------
    [1] Yun, Han, Oh, Chun, Choe, Yoo. CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features. ICCV 2019.
    """

    alpha: float = 1.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0)}

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        return _mixing.cutmix(super().batch(network, batch, task), self.alpha)
