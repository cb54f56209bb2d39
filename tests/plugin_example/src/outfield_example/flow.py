from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.detectors._density import Density


@dataclass(frozen=True)
class Flow(Density):
    """Minus the log density of the features under a normalising flow of affine coupling layers [1], as in [2].

    Parameters
    ----------
    couplings : int
        Layers; each changes every other feature by a scale and a shift that the rest decides.
    hidden : int
        Hidden units of the network in each.

    References
    ----------
    [1] Dinh, Sohl-Dickstein, Bengio. Density Estimation Using Real NVP. ICLR 2017.
    [2] Kirichenko, Izmailov, Wilson. Why Normalizing Flows Fail to Detect Out-of-Distribution Data. NeurIPS 2020.
    """

    couplings: int = 4
    hidden: int = 64

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {**Density.bounds, "couplings": (1, 1000), "hidden": (1, 1e6)}

    def network(self, shape: torch.Size) -> nn.Module:
        return _RealNVP(shape.numel(), self.couplings, self.hidden)


class _RealNVP(nn.Module):
    def __init__(self, dim: int, couplings: int, hidden: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(_Coupling(dim, hidden, number % 2) for number in range(couplings))

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1)
        volume = torch.zeros_like(z[:, 0])
        for coupling in self.couplings:
            z, stretched = coupling(z)
            volume = volume + stretched
        return volume - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)


class _Coupling(nn.Module):
    """``y = x exp(s) + t`` where s and t are functions of the elements that stay; log s lies within one."""

    def __init__(self, dim: int, hidden: int, first: int) -> None:
        super().__init__()
        self.register_buffer("stays", (torch.arange(dim) % 2 == first).float())
        self.inner = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * dim))
        nn.init.zeros_(self.inner[-1].weight)
        nn.init.zeros_(self.inner[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.inner(x * self.stays).chunk(2, dim=1)
        s, t = s.tanh() * (1 - self.stays), t * (1 - self.stays)
        return x * s.exp() + t, s.sum(1)
