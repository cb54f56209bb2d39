from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, MomentSums, leading, spectrum
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class NECO(Detector):
    """Share of the standardised feature inside the principal space, ``-|V^T f~| / |f~|`` [1].

    ``f~`` is the feature less its training mean, over its training standard deviation (one where that is zero); V
    holds leading eigenvectors of the training covariance of ``f~``. Float64.

    Parameters
    ----------
    explained : float
        Share of variance that V explains.
    d : int, optional
        Number of eigenvectors instead.
    times_max_logit : bool
        Multiply by the largest logit, as the paper does for networks other than ResNets.

    Examples
    --------
    >>> features = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [1.0, 1.1], [-1.0, -1.1]])
    >>> train = Outputs(logits=torch.zeros(4, 2), features=features, labels=torch.tensor([0, 1, 0, 1]))
    >>> NECO().score(Outputs(features=torch.tensor([[3.0, 3.0], [3.0, -3.0]])), NECO().fit(FitData.of(train)))
    tensor([-0.9999, -0.0103], dtype=torch.float64)

    References
    ----------
    [1] Ammar, Belkhir, Popescu, Manzanera, Franchi. NECO: NEural Collapse Based Out-of-distribution detection.
        ICLR 2024.
    """

    explained: float = 0.9
    d: int | None = None
    times_max_logit: bool = False

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"explained": (1e-6, 1), "d": (1, 1e9)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.times_max_logit:
            object.__setattr__(self, "needs", self.needs | {"logits"})

    def clipped(self, data: FitData) -> Self:
        return self if self.d is None else replace(self, d=min(self.d, data.dim - 1))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        scale = _deviations(data.moments)
        basis = leading(spectrum(_correlation(data.moments, scale)), self.explained, self.d)
        return {"mean": data.moments.mean, "scale": scale, "basis": basis}

    def score(self, out: Outputs, state: State) -> Tensor:
        mean, scale, basis = (state[name] for name in ("mean", "scale", "basis"))

        def share(features: Tensor) -> Tensor:
            rows = (features.double() - mean) / scale
            return _length(rows @ basis) / _length(rows).clamp(min=1e-12)

        shares = in_pieces(share, 2 * len(mean), out.features)
        return -shares * out.logits.amax(1) if self.times_max_logit else -shares


def _length(rows: Tensor) -> Tensor:
    return rows.square().sum(1).sqrt()


def _correlation(moments: MomentSums, scale: Tensor) -> Tensor:
    return moments.covariance.div_(scale).div_(scale[:, None])


def _deviations(moments: MomentSums) -> Tensor:
    """Standard deviation of each feature, one for features that do not vary."""
    variance = moments.covariance.diagonal()
    varies = variance > 1e-12 * moments.second.diagonal()
    return torch.where(varies, variance.clamp(min=0), 1.0).sqrt()
