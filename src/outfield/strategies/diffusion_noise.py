from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class DiffusionNoise(PictureStrategy):
    """Noise as a diffusion model adds it: ``sqrt(g) x + sqrt(1 - g) e``, with its own g for each picture [1].

    x is scaled to [-1, 1] for it, and the result is brought back and clipped.

    Parameters
    ----------
    least : float
        g is uniform between this and 1, where 1 is no noise.

    Examples
    --------
    >>> x = torch.rand(4, 1, 8, 8)
    >>> torch.allclose(DiffusionNoise(least=1.0, shift=0).augment(x), x, atol=1e-6)
    True

    References
    ----------
    [1] Jaini, Clark, Geirhos. Intriguing Properties of Generative Classifiers. ICLR 2024.
    """

    least: float = 0.3

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"least": (0.0, 1.0)}

    def augment(self, x: Tensor) -> Tensor:
        x = 2 * super().augment(x) - 1
        kept = _pictures.per_picture(torch.empty(len(x), device=x.device).uniform_(self.least, 1))
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * torch.randn_like(x)
        return ((noisy + 1) / 2).clamp(0, 1)
