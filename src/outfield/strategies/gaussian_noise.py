from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class GaussianNoise(PictureStrategy):
    """Gaussian noise in half of the pictures, clipped to [0, 1] [1].

    Parameters
    ----------
    sigma : float
        Standard deviation; the paper finds 0.5 best on ImageNet.

    Examples
    --------
    >>> x = GaussianNoise(sigma=0.1, shift=0).augment(torch.full((1000, 1, 4, 4), 0.5))
    >>> 0.4 < (x != 0.5).flatten(1).any(1).float().mean() < 0.6
    tensor(True)

    References
    ----------
    [1] Rusak, Schott, Zimmermann, Bitterwolf, Bringmann, Bethge, Brendel. A Simple Way to Make Neural Networks Robust
    Against Diverse Image Corruptions. ECCV 2020.
    """

    sigma: float = 0.3

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"sigma": (0.0, 100.0)}

    def augment(self, x: Tensor) -> Tensor:
        x = super().augment(x)
        chosen = _pictures.per_picture(torch.rand(len(x), device=x.device)) < 0.5
        return torch.where(chosen, (x + self.sigma * torch.randn_like(x)).clamp(0, 1), x)
