from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class RandomErasing(PictureStrategy):
    """A box of noise, 2% to 33% of the area, in some of the pictures [1].

    Parameters
    ----------
    probability : float
        Share of the pictures that get a box.

    Examples
    --------
    >>> import torch
    >>> bool((RandomErasing(probability=1.0).augment(torch.zeros(9, 1, 8, 8)) > 0).any())
    True

    References
    ----------
    [1] Zhong, Zheng, Kang, Li, Yang. Random Erasing Data Augmentation. AAAI 2020.
    """

    probability: float = 0.5

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"probability": (0.0, 1.0)}

    def augment(self, x: Tensor) -> Tensor:
        return _pictures.erased(super().augment(x), self.probability)
