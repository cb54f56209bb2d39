from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._reconstruction import error
from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import add_products, leading, spectrum, symmetric, unit
from outfield.features.row_chunks import in_pieces
from outfield.features.rows import Rows
from outfield.types import Outputs, State


@dataclass(frozen=True)
class CoRP(Detector):
    """Kernel PCA with a cosine-Gaussian kernel: reconstruction error of random Fourier features [1].

    ``|(I - U U^T)(phi(f) - m)|`` with ``phi(f) = sqrt(2 / M) cos(Omega n(f) + u)``, ``Omega = sqrt(2 gamma) N(0, 1)``
    [M, D] and ``u ~ U[0, 2 pi)``; m and U are the mean and the leading eigenvectors of phi over training rows.

    Parameters
    ----------
    gamma : float
        Inverse width of the kernel.
    m : int
        Number M of random features; 2048 on CIFAR-10, 4096 on ImageNet in the paper.
    explained : float
        Share of variance that U explains.
    limit : int
        Training rows that m and U are learned from: all of a smaller set, else so many, drawn at random.
    seed : int
        Of Omega, u and the draw.

    Examples
    --------
    >>> train = Outputs(features=torch.eye(3)[:2])
    >>> corp = CoRP(m=512)
    >>> corp.score(Outputs(features=torch.eye(3)), corp.fit(FitData.of(train))).round(decimals=1).abs()
    tensor([0.0000, 0.0000, 1.3000], dtype=torch.float64)

    References
    ----------
    [1] Fang, Tao, Lv, He, Huang, Yang. Kernel PCA for Out-of-Distribution Detection. NeurIPS 2024.
    """

    gamma: float = 2.0
    m: int = 2048
    explained: float = 0.8
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"gamma": (1.0, 2.0, 3.0), "explained": (0.5, 0.7, 0.8)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "gamma": (1e-6, 1e6),
        "m": (1, 1e6),
        "explained": (1e-6, 1),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank(("features",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        rows = data.fold(self._bank)
        drawn = self._drawn(rows["features"])
        mean, components = data.once(replace(self, explained=1.0), lambda: _components(rows, drawn))
        return {**drawn, "mean": mean, "basis": leading(components, self.explained)}

    def _drawn(self, features: Tensor) -> State:
        rng = torch.Generator().manual_seed(self.seed)
        omega = math.sqrt(2 * self.gamma) * torch.randn(self.m, features.shape[1], generator=rng)
        shift = 2 * math.pi * torch.rand(self.m, generator=rng)
        return {"omega": omega.to(features.device), "shift": shift.to(features.device)}

    def score(self, out: Outputs, state: State) -> Tensor:
        def rebuilt(features: Tensor) -> Tensor:
            return error(_phi(features, state) - state["mean"], state["basis"])

        return in_pieces(rebuilt, 4 * len(state["mean"]), out.features)


def _phi(features: Tensor, drawn: State) -> Tensor:
    """Random Fourier features [n, M], in float64 after a product in the features' precision."""
    omega, shift = drawn["omega"].to(features.dtype), drawn["shift"].to(features.dtype)
    angles = torch.addmm(shift, unit(features), omega.T)
    return math.sqrt(2 / angles.shape[1]) * angles.cos_().double()


def _components(rows: Rows, drawn: State, chunk: int = 2048) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean of phi, and the spectrum of its covariance."""
    m, device = len(drawn["shift"]), drawn["shift"].device
    total = torch.zeros(m, dtype=torch.float64, device=device)
    products = torch.zeros(m, m, dtype=torch.float64, device=device)
    for out in rows.chunks(chunk):
        phi = _phi(out.features, drawn)
        total.add_(phi.sum(0))
        add_products(products, phi)
    mean = total / len(rows)
    return mean, spectrum(symmetric(products.div_(len(rows))).sub_(torch.outer(mean, mean)))
