from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Margin(Detector):
    """Smallness of the gap between the two largest logits, ``scale * (z_(2) - z_(1))``: margin sampling [1], on logits.

    References
    ----------
    [1] Scheffer, Decomain, Wrobel. Active Hidden Markov Models for Information Extraction. IDA 2001.
    """

    scale: float = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"

    def score(self, out: Outputs, state: State) -> Tensor:
        first, second = out.logits.topk(2, dim=1).values.unbind(1)
        return self.scale * (second - first)
