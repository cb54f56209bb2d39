from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class AmplitudeMix(PictureStrategy):
    """Fourier amplitudes mixed with those of another picture, phases kept [1]: a stand-in for stylisation.

    Parameters
    ----------
    most : float
        The other picture's share of the amplitudes is uniform from 0 to this.

    Examples
    --------
    >>> x = torch.rand(4, 1, 8, 8)
    >>> torch.allclose(AmplitudeMix(most=0.0, shift=0).augment(x), x, atol=1e-5)
    True

    References
    ----------
    [1] Xu, Zhang, Zhang, Wang, Tian. A Fourier-based Framework for Domain Generalization. CVPR 2021.
    """

    most: float = 1.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"most": (0.0, 1.0)}

    def augment(self, x: Tensor) -> Tensor:
        waves = torch.fft.rfft2(super().augment(x))
        other = waves[torch.randperm(len(x), device=x.device)]
        share = self.most * _pictures.per_picture(torch.rand(len(x), device=x.device))
        amplitude = torch.lerp(waves.abs(), other.abs(), share)
        mixed: Tensor = torch.fft.irfft2(torch.polar(amplitude, waves.angle()), s=x.shape[2:])
        return mixed.clamp(0, 1)
