from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class RandConv(PictureStrategy):
    """Pictures whose texture is redrawn by a random convolution, while shapes stay [1]: a stand-in for stylisation.

    A batch is convolved with one kernel of side 1, 3, 5 or 7, whose weights are normal with variance
    ``1 / (side^2 C)``; the result is mixed with the pictures by uniform shares (the paper's RC-mix), and each picture
    is brought to the mean and deviation that it had. The paper's consistency loss is left out.

    Parameters
    ----------
    kept : float
        Share of the batches that stay as they are.

    Examples
    --------
    >>> RandConv(kept=0.0).augment(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5, 3, 8, 8])

    References
    ----------
    [1] Xu, Liu, Yang, Raffel, Niethammer. Robust and Generalizable Visual Representation Learning via Random
    Convolutions. ICLR 2021.
    """

    kept: float = 0.3

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"kept": (0.0, 1.0)}

    def augment(self, x: Tensor) -> Tensor:
        x = super().augment(x)
        if torch.rand(()) < self.kept:
            return x
        share = _pictures.per_picture(torch.rand(len(x), device=x.device))
        return _with_moments_of(x, torch.lerp(_convolved(x), x, share)).clamp(0, 1)


def _convolved(x: Tensor) -> Tensor:
    side, channels = 2 * int(torch.randint(4, ())) + 1, x.shape[1]
    kernel = torch.randn(channels, channels, side, side, device=x.device) / (side * channels**0.5)
    return functional.conv2d(x, kernel, padding=side // 2)


def _with_moments_of(x: Tensor, changed: Tensor) -> Tensor:
    over = (1, 2, 3)
    standard = (changed - changed.mean(over, keepdim=True)) / (changed.std(over, keepdim=True) + 1e-6)
    return x.mean(over, keepdim=True) + x.std(over, keepdim=True) * standard
