from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class TrivialAugment(PictureStrategy):
    """One operation a picture, drawn uniformly, with a strength drawn uniformly: nothing to tune [1].

    The operations: none, rotation, shear and translation along each axis, brightness, contrast, sharpness,
    posterisation, solarisation.

    Examples
    --------
    >>> import torch
    >>> TrivialAugment().augment(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 1, 8, 8])

    References
    ----------
    [1] Müller, Hutter. TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation. ICCV 2021.
    """

    family: ClassVar[str] = "augmentation"

    def augment(self, x: Tensor) -> Tensor:
        return _pictures.one_of(_pictures.ALL, super().augment(x), _pictures.random_strengths(x))
