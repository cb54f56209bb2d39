from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Beta

from outfield.strategies import _pictures
from outfield.strategies._fractals import fractals
from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class PixMix(PictureStrategy):
    """Pictures mixed several times over with fractals, by adding and multiplying [1].

    A picture, augmented or not, is mixed up to ``rounds`` times with a fractal or with an augmented copy of
    itself. The fractals are attractors of iterated function systems drawn here, not the paper's collection.

    Parameters
    ----------
    rounds : int
        Mixtures at most; their number is uniform from 0.
    beta : float
        Severity: shares are drawn from Beta(beta, 1) and Beta(1, beta); larger values leave more of the picture.

    Examples
    --------
    >>> x = torch.rand(5, 1, 8, 8)
    >>> PixMix(rounds=2).augment(x).shape
    torch.Size([5, 1, 8, 8])

    References
    ----------
    [1] Hendrycks, Zou, Mazeika, Tang, Li, Song, Steinhardt. PixMix: Dreamlike Pictures Comprehensively Improve Safety
    Measures. CVPR 2022.
    """

    rounds: int = 4
    beta: float = 3.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"rounds": (0, 100), "beta": (1e-3, 1000.0)}

    def augment(self, x: Tensor) -> Tensor:
        clean = super().augment(x)
        mixed = _either(_augmented(clean), clean)
        rounds = _pictures.per_picture(torch.randint(self.rounds + 1, (len(x),), device=x.device))
        for number in range(self.rounds):
            other = _either(_augmented(clean), _some_fractals(clean))
            mixed = torch.where(number < rounds, self._mixture(mixed, other), mixed)
        return mixed

    def _mixture(self, x: Tensor, other: Tensor) -> Tensor:
        shares = Beta(torch.tensor([self.beta, 1.0]), torch.tensor([1.0, self.beta])).sample((len(x),)).to(x.device)
        first, second = _pictures.per_picture(shares[:, 0]), _pictures.per_picture(shares[:, 1])
        added = 0.5 + first * (x - 0.5) + second * (other - 0.5)
        multiplied = (2 * x).clamp(min=1e-6) ** first * (2 * other).clamp(min=1e-6) ** second / 2
        return _either(added, multiplied).clamp(0, 1)


def _augmented(x: Tensor) -> Tensor:
    return _pictures.one_of(_pictures.ALL, x, 0.3 * _pictures.random_strengths(x))


def _some_fractals(x: Tensor) -> Tensor:
    known = fractals(x.shape[2], x.shape[3], x.shape[1]).to(x.device)
    return known[torch.randint(len(known), (len(x),), device=x.device)]


def _either(one: Tensor, other: Tensor) -> Tensor:
    return torch.where(_pictures.per_picture(torch.rand(len(one), device=one.device)) < 0.5, one, other)
