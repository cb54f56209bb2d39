from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class OpticsAugment(PictureStrategy):
    """Pictures blurred as imperfect lenses blur them, mixed with the sharp ones [1].

    A kernel is the point-spread function of a round pupil whose wave front is bent by random amounts of defocus,
    astigmatism, coma, trefoil and spherical aberration (Zernike polynomials):
    ``|F(pupil exp(2 pi i wave))|^2`` on 5 x 5 pixels, scaled to sum 1. A blurred picture and the
    sharp one are mixed with a weight from Beta(1, 1).

    Parameters
    ----------
    aberration : float
        Root mean square of the bent wave front, in wavelengths, at most.

    Examples
    --------
    >>> OpticsAugment().augment(torch.rand(5, 3, 16, 16)).shape
    torch.Size([5, 3, 16, 16])

    References
    ----------
    [1] Müller, Braun, Keuper. Classification Robustness to Common Optical Aberrations. ICCV 2023 workshop.
    """

    aberration: float = 0.5

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"aberration": (0.0, 100.0)}

    def augment(self, x: Tensor) -> Tensor:
        x = super().augment(x)
        kept = _pictures.per_picture(Beta(1.0, 1.0).sample((len(x),)).to(x.device))
        return (kept * x + (1 - kept) * self._blurred(x)).clamp(0, 1)

    def _blurred(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        kernels = self._kernels(n).to(x.device).repeat_interleave(channels, 0)[:, None]
        padded = functional.pad(x, (_REACH,) * 4, mode="replicate").view(1, n * channels, *_grown(height, width))
        return functional.conv2d(padded, kernels, groups=n * channels).view_as(x)

    def _kernels(self, n: int) -> Tensor:
        shares = functional.normalize(torch.randn(n, _LAYERS), dim=1) * self.aberration * torch.rand(n, 1)
        radius, bends = _wave_fronts()
        wave = torch.einsum("nk,kij->nij", shares, bends)
        field = torch.polar((radius <= 1).float().expand_as(wave), 2 * torch.pi * wave)
        spread = torch.fft.fftshift(torch.fft.fft2(field).abs().square(), dim=(1, 2))
        middle = spread[:, _CENTRE - _REACH : _CENTRE + _REACH + 1, _CENTRE - _REACH : _CENTRE + _REACH + 1]
        kernels: Tensor = middle / middle.sum((1, 2), keepdim=True)
        return kernels


_SIDE, _CENTRE, _REACH, _LAYERS = 32, 16, 2, 8


@lru_cache(maxsize=1)
def _wave_fronts() -> tuple[Tensor, Tensor]:
    """Radius [side, side] from the pupil's centre, and Zernike polynomials [8, side, side] of unit mean square."""
    line = torch.linspace(-2, 2, _SIDE)
    across, down = torch.meshgrid(line, line, indexing="xy")
    r, angle = torch.hypot(across, down), torch.atan2(down, across)
    bends = [
        3**0.5 * (2 * r**2 - 1),
        6**0.5 * r**2 * (2 * angle).cos(),
        6**0.5 * r**2 * (2 * angle).sin(),
        8**0.5 * (3 * r**3 - 2 * r) * angle.cos(),
        8**0.5 * (3 * r**3 - 2 * r) * angle.sin(),
        8**0.5 * r**3 * (3 * angle).cos(),
        8**0.5 * r**3 * (3 * angle).sin(),
        5**0.5 * (6 * r**4 - 6 * r**2 + 1),
    ]
    return r, torch.stack(bends)


def _grown(height: int, width: int) -> tuple[int, int]:
    return height + 2 * _REACH, width + 2 * _REACH
