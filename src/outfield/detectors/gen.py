from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from outfield.detectors._softmax import ratios_to_top
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.types import Outputs, State


@dataclass(frozen=True)
class GEN(Detector):
    """Generalised entropy of the largest probabilities, ``sum_(c in top m) p_c^gamma (1 - p_c)^gamma`` [1].

    Float64; ``1 - p`` of the predicted class is the sum of the others, so that a sure model gives no ties.

    Parameters
    ----------
    gamma : float
        Smaller values weigh small probabilities more.
    m : int
        Number of probabilities, clipped to the number of classes.

    Examples
    --------
    >>> import torch
    >>> GEN(gamma=0.5).score(Outputs(logits=torch.tensor([[0.0, 0.0], [99.0, 0.0]])), {})
    tensor([1.0000e+00, 6.3599e-22], dtype=torch.float64)

    References
    ----------
    [1] Liu, Lochman, Zach. GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection. CVPR 2023.
    """

    gamma: float = 0.1
    m: int = 100

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "gamma": (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0),
        "m": (10, 50, 100, 200, 500, 1000),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"gamma": (1e-6, 1e3), "m": (1, 1e9)}

    def clipped(self, data: FitData) -> Self:
        return replace(self, m=min(self.m, data.classes))

    def score(self, out: Outputs, state: State) -> Tensor:
        ratios, rest = ratios_to_top(out.logits)
        total = 1 + rest
        top = (rest / total.square()).pow(self.gamma)
        p = ratios.topk(min(self.m, ratios.shape[1]) - 1, dim=1).values / total[:, None]
        return top + (p * (1 - p)).pow(self.gamma).sum(1)
