from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Entropy(Detector):
    """Shannon entropy of the softmax, ``-sum_c p_c log p_c``, in nats [1].

    Examples
    --------
    >>> Entropy().score(Outputs(logits=torch.tensor([[0.0, 0.0], [9.0, 0.0]])), {})
    tensor([0.6931, 0.0012], dtype=torch.float64)

    References
    ----------
    [1] Chan, Rottmann, Gottschalk. Entropy Maximization and Meta Classification for Out-of-Distribution Detection in
        Semantic Segmentation. ICCV 2021.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"

    def score(self, out: Outputs, state: State) -> Tensor:
        logs = torch.log_softmax(out.logits.double(), dim=1)
        return -(logs.exp() * logs).sum(dim=1)
