from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State
from outfield_science import spd


@dataclass(frozen=True)
class TangentPCA(Detector):
    """Squared length along the last principal components of covariances, in the tangent space at their mean [1].

    Each input is the covariance of the columns of a picture [n, 1, T, P], or a matrix that is a row [n, P * P]. The
    affine-invariant log map at the Frechet mean of the training inputs makes it a vector. Of the ``components`` first
    principal components, the ``last`` vary least among what is normal: the paper's negated PCA.

    Parameters
    ----------
    components, last : int
        Clipped to what exists.
    ridge : float
        What is added to the diagonal of a covariance.
    limit : int
        Training inputs: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the draw.

    References
    ----------
    [1] Bauw et al. Near out-of-distribution detection for low-resolution radar micro-Doppler signatures. 2022.
    """

    components: int = 20
    last: int = 10
    ridge: float = 1e-3
    limit: int = 5000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "components": (1, 1e6),
        "last": (1, 1e6),
        "ridge": (1e-12, 1e12),
        "limit": (2, 1e9),
        "seed": (0, 2**62),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank(("inputs",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        x = spd.matrices(data.fold(self._bank).outputs().inputs, self.ridge)
        base = spd.frechet_mean(x)
        tangents = spd.tangent(base, x)
        mean = tangents.mean(0)
        directions = torch.linalg.svd(tangents - mean, full_matrices=False).Vh[: self.components]
        return {"base": base, "mean": mean, "directions": directions[-self.last :].T.contiguous()}

    def score(self, out: Outputs, state: State) -> Tensor:
        tangents = spd.tangent(state["base"], spd.matrices(out.inputs, self.ridge))
        return ((tangents - state["mean"]) @ state["directions"]).square().sum(1)
