from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class RandAugment(PictureStrategy):
    """N operations in a row, drawn uniformly, all of one magnitude M whose sign is drawn [1].

    Parameters
    ----------
    operations : int
        N.
    magnitude : float
        M as a share of each operation's greatest strength; the paper's 9 of 30 is 0.3.

    Examples
    --------
    >>> import torch
    >>> RandAugment(operations=1, magnitude=0.5).augment(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 1, 8, 8])

    References
    ----------
    [1] Cubuk, Zoph, Shlens, Le. RandAugment: Practical Automated Data Augmentation with a Reduced Search Space.
    NeurIPS 2020.
    """

    operations: int = 2
    magnitude: float = 0.4

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"operations": (1, 20), "magnitude": (0.0, 1.0)}

    def augment(self, x: Tensor) -> Tensor:
        x = super().augment(x)
        for _ in range(self.operations):
            x = _pictures.one_of(_pictures.ALL, x, self.magnitude * _pictures.random_strengths(x).sign())
        return x
