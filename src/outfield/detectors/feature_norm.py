from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class FeatureNorm(Detector):
    """Smallness of the feature, ``-|f|_p`` [1].

    Parameters
    ----------
    p : float
        One is the norm that GradNorm, SIRC and SCOD read, two is Euclid's.

    Examples
    --------
    >>> FeatureNorm(p=2).score(Outputs(features=torch.tensor([[3.0, 4.0], [0.0, 1.0]])), {})
    tensor([-5., -1.])

    References
    ----------
    [1] Park, Chai, Yoon, Lee. Understanding the Feature Norm for Out-of-Distribution Detection. ICCV 2023.
    """

    p: float = 1.0

    title: ClassVar[str] = "Feature norm"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"p": (1.0, 2.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"p": (1, 100)}

    def score(self, out: Outputs, state: State) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(out.features, self.p, dim=1)
        return -norms
