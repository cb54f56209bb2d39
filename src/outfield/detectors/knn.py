from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from outfield.detectors._banks import as_bank, on_sphere, share_of
from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class KNN(Detector):
    """Distance to the k-th nearest training row on the unit sphere, ``|n(f) - n(f_(k))|`` [1].

    Parameters
    ----------
    k : int
        Clipped to the rows of the bank.
    share : float, optional
        Share of the training rows in the bank; by default all up to 100,000 rows, else 1%, as in the paper.
    seed : int
        Of the draw.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(features=torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    >>> knn = KNN(k=1)
    >>> knn.score(Outputs(features=torch.tensor([[9.0, 0.0], [-9.0, 0.0]])), knn.fit(FitData.of(train)))
    tensor([0.0000, 1.4142])

    References
    ----------
    [1] Sun, Ming, Zhu, Li. Out-of-Distribution Detection with Deep Nearest Neighbors. ICML 2022.
    """

    k: int = 50
    share: float | None = None
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"k": (1, 10, 20, 50, 100, 200, 500, 1000)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"k": (1, 1e9), "share": (1e-6, 1), "seed": (0, 2**62)}

    def clipped(self, data: FitData) -> Self:
        share = share_of(len(data.train)) if self.share is None else self.share
        return replace(self, share=share, k=min(self.k, max(1, int(share * len(data.train)))))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return () if self.share is None else (Bank(("features",), self.share, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        (bank,) = self.clipped(data).folds()
        return {"bank": as_bank(data.fold(bank))}

    def score(self, out: Outputs, state: State) -> Tensor:
        bank = on_sphere(state["bank"], out.features)
        k = min(self.k, len(bank))
        return in_pieces(lambda rows: _kth_distance(rows, bank, k), 2 * len(bank), unit(out.features))


def _kth_distance(rows: Tensor, bank: Tensor, k: int) -> Tensor:
    """Neighbours by cosine in one product; the distance itself from the difference, which keeps small ones exact."""
    kth = (rows @ bank.T).topk(k, dim=1).indices[:, -1]
    return (rows - bank[kth]).square().sum(1).sqrt()
