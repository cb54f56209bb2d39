from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors._softmax import others
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MSP(Detector):
    """Maximum softmax probability, as ``1 - max_c p_c`` [1].

    Computed in float64 as the sum of the other probabilities, so that a sure model gives no ties.

    Examples
    --------
    >>> import torch
    >>> MSP().score(Outputs(logits=torch.tensor([[40.0, 0.0], [0.0, 0.0]])), {})
    tensor([4.2484e-18, 5.0000e-01], dtype=torch.float64)

    References
    ----------
    [1] Hendrycks, Gimpel. A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
        Networks. ICLR 2017.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"

    def score(self, out: Outputs, state: State) -> Tensor:
        return others(out.logits)
