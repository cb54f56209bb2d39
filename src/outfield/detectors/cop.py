from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._reconstruction import error
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, leading, unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class CoP(Detector):
    """Kernel PCA with a cosine kernel: reconstruction error on the unit sphere, ``|(I - U U^T)(n(f) - m)|`` [1].

    m and U are the mean and the leading eigenvectors of the training features scaled to unit length. Float64.

    Parameters
    ----------
    explained : float
        Share of variance that U explains.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.zeros(2, 2), features=torch.eye(3)[:2], labels=torch.tensor([0, 1]))
    >>> CoP().score(Outputs(features=torch.eye(3)), CoP().fit(FitData.of(train))).round(decimals=4)
    tensor([0.0000, 0.0000, 1.2247], dtype=torch.float64)

    References
    ----------
    [1] Fang, Tao, Lv, He, Huang, Yang. Kernel PCA for Out-of-Distribution Detection. NeurIPS 2024.
    """

    explained: float = 0.85

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"explained": (0.85, 0.99)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"explained": (1e-6, 1)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(on_sphere=True),)

    def fit(self, data: FitData) -> State:
        moments = data.fold(Moments(on_sphere=True))
        return {"mean": moments.mean, "basis": leading(moments.total_spectrum, self.explained)}

    def score(self, out: Outputs, state: State) -> Tensor:
        mean, basis = state["mean"], state["basis"]
        return in_pieces(lambda rows: error(unit(rows.double()) - mean, basis), 3 * len(mean), out.features)
