from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class GradNorm(Detector):
    """L1 norm of the last layer's weight gradient against the uniform target, ``-|C p - 1|_1 |f|_1`` [1].

    The loss is ``-sum_c log p_c``; its gradient is the outer product of ``C p - 1`` and f, so that no backward
    pass is needed.

    Examples
    --------
    >>> out = Outputs(logits=torch.tensor([[99.0, 0.0], [0.0, 0.0]]), features=torch.tensor([[3.0, -1.0], [3.0, 1.0]]))
    >>> GradNorm().score(out, {})
    tensor([-8., -0.], dtype=torch.float64)

    References
    ----------
    [1] Huang, Geng, Li. On the Importance of Gradients for Detecting Distributional Shifts in the Wild. NeurIPS 2021.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "gradients"

    def score(self, out: Outputs, state: State) -> Tensor:
        surplus = out.logits.shape[1] * torch.softmax(out.logits.double(), dim=1) - 1
        return -surplus.abs().sum(1) * out.features.abs().sum(1)
