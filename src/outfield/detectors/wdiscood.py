from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._gaussian import squares
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, MomentSums
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class WDiscOOD(Detector):
    """Distances in two spaces of whitened LDA, ``min_c |D(f) - D(mu_c)| + alpha |R(f - mu)|`` [1].

    Features are whitened by the within-class covariance; D projects onto the C - 1 directions that the class means
    span about the mean, R onto all others. Float64 throughout.

    Parameters
    ----------
    alpha : float
        Weight of the residual; the authors take 1 for ViT and 5 for ResNet-50.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[0.0, 1.0], [0.0, -1.0], [9.0, 1.0], [9.0, -1.0]]))
    >>> state = WDiscOOD(alpha=2.0).fit(FitData.of(train.with_fields(features=train.features + torch.eye(4)[:, :2])))
    >>> state["directions"].shape, sorted(state)
    (torch.Size([2, 1]), ['directions', 'mean', 'means', 'whitener'])

    References
    ----------
    [1] Chen, Lin, Xu, Vela. WDiscOOD: Out-of-Distribution Detection via Whitened Linear Discriminant Analysis.
        ICCV 2023.
    """

    alpha: float = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"alpha": (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"alpha": (0, 1e6)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        moments = data.moments
        directions = data.once("discriminative directions", lambda: _directions(moments))
        mean = moments.mean @ moments.within_whitener
        means = (moments.whitened_means - mean) @ directions
        return {"whitener": moments.within_whitener, "mean": mean, "directions": directions, "means": means}

    def score(self, out: Outputs, state: State) -> Tensor:
        whitener, mean, directions, means = (state[name] for name in ("whitener", "mean", "directions", "means"))

        def distance(features: Tensor) -> Tensor:
            rows = features.double() @ whitener - mean
            inside = rows @ directions
            residual = (rows - inside @ directions.T).square().sum(1).sqrt()
            return squares(inside, means).min(1).values.sqrt() + self.alpha * residual

        return in_pieces(distance, 4 * len(whitener) + len(means), out.features)


def _directions(moments: MomentSums) -> Tensor:
    """Orthonormal directions of the whitened class means about the mean, [r, C - 1] or fewer where they span less."""
    away = moments.whitened_means - moments.mean @ moments.within_whitener
    weighted = away * (moments.counts / moments.n).sqrt()[:, None]
    _, lengths, directions = torch.linalg.svd(weighted, full_matrices=False)
    kept = lengths[: len(away) - 1] > 1e-10 * lengths[:1].sum()
    found: Tensor = directions[: len(kept)][kept].T.contiguous()
    return found
