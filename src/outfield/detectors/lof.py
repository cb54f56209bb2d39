from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class LOF(Detector):
    """Local outlier factor of the features: how much denser the neighbours lie than the row itself [1].

    ``LOF(x) = mean_j lrd(j) / lrd(x)`` over the k nearest training rows j, where ``lrd(x)`` is one over the mean of
    ``max(|x - j|, distance of j to its own k-th neighbour)``. About one within a cluster, larger outside.

    Parameters
    ----------
    k : int
        Neighbours; clipped to the rows of the bank less one.
    limit : int
        Most training rows in the bank: each needs the distances to all others.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where the bank has a single row.

    Examples
    --------
    >>> train = Outputs(features=torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    >>> state = LOF(k=2).fit(FitData.of(train))
    >>> LOF(k=2).score(Outputs(features=torch.tensor([[1.5], [9.0]])), state).round(decimals=2)
    tensor([0.6700, 4.3300], dtype=torch.float64)

    References
    ----------
    [1] Breunig, Kriegel, Ng, Sander. LOF: Identifying Density-Based Local Outliers. SIGMOD 2000.
    """

    k: int = 20
    limit: int = 5000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"k": (10, 20, 50)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"k": (1, 1e6), "limit": (2, 1e6), "seed": (0, 2**62)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Bank(("features",), limit=self.limit, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        (fold,) = self.folds()
        bank = data.fold(fold).outputs().features
        if len(bank) < 2:
            raise UserError("Expected at least two fit rows for LOF, but got one. Fit on more rows.")
        distances, neighbours = _without_itself(*_neighbours(bank, bank, min(self.k, len(bank) - 1) + 1))
        radius = distances[:, -1].contiguous()
        return {"bank": bank, "radius": radius, "density": _density(distances, radius[neighbours])}

    def score(self, out: Outputs, state: State) -> Tensor:
        bank = state["bank"].to(out.features.dtype)
        distances, neighbours = _neighbours(out.features, bank, min(self.k, len(bank) - 1))
        return state["density"][neighbours].mean(1) / _density(distances, state["radius"][neighbours])


def _neighbours(rows: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances in float64, ascending, and numbers of the k nearest rows of the bank, [n, k] each."""
    found = in_pieces(lambda some: _nearest(some, bank, k), 2 * len(bank), rows)
    distances = in_pieces(
        lambda some, near: (some[:, None] - bank[near]).double().norm(dim=2), 3 * k * bank.shape[1], rows, found
    )
    nearest = distances.topk(distances.shape[1], dim=1, largest=False)
    return nearest.values, found.gather(1, nearest.indices)


def _nearest(rows: Tensor, bank: Tensor, k: int) -> Tensor:
    return (2 * rows @ bank.T - bank.square().sum(1)).topk(k, dim=1).indices


def _without_itself(distances: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """One neighbour fewer: the row itself, or the last where equal rows stand before it."""
    itself = neighbours == torch.arange(len(neighbours), device=neighbours.device)[:, None]
    order = itself | (~itself.any(1, keepdim=True) & (torch.arange(neighbours.shape[1]) == neighbours.shape[1] - 1))
    kept = order.to(torch.int8).argsort(dim=1, stable=True)[:, :-1]
    return distances.gather(1, kept), neighbours.gather(1, kept)


def _density(distances: Tensor, radii: Tensor) -> Tensor:
    """Local reachability density, [n]; the constant keeps equal rows finite."""
    return 1 / (torch.maximum(distances, radii).mean(1) + 1e-10)
