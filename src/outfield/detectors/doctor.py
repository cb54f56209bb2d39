from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors._softmax import ratios_to_top
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Doctor(Detector):
    """Odds of an error where classes were drawn from the softmax, ``(1 - g) / g`` with ``g = sum_c p_c^2`` [1].

    DOCTOR's discriminator D-alpha; its D-beta orders rows as ``msp`` does. In float64, with ``1 - g`` summed from its
    parts, so that a sure model gives no ties.

    Examples
    --------
    >>> import torch
    >>> Doctor().score(Outputs(logits=torch.tensor([[40.0, 0.0], [0.0, 0.0]])), {})
    tensor([8.4967e-18, 1.0000e+00], dtype=torch.float64)

    References
    ----------
    [1] Granese, Romanelli, Gorla, Palamidessi, Piantanida. DOCTOR: A Simple Method for Detecting Misclassification
        Errors. NeurIPS 2021.
    """

    title: ClassVar[str] = "DOCTOR"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"

    def score(self, out: Outputs, state: State) -> Tensor:
        ratios, rest = ratios_to_top(out.logits)
        whole = 1 + rest
        error = rest / whole**2 + (ratios / whole[:, None] * (1 - ratios / whole[:, None])).sum(1)
        return error / (1 - error)
