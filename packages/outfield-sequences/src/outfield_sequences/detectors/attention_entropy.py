from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State
from outfield_sequences.probes.attention_entropy import AttentionEntropy as Probe


@dataclass(frozen=True)
class AttentionEntropy(Detector):
    """Entropy of a layer's attention: bounded logits disperse it as the items grow beyond those of training [1].

    Parameters
    ----------
    layer : str
        Its output [n, ..., places] sums to 1 over the last axis.

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """

    layer: str = "attention"

    needs: ClassVar[frozenset[str]] = frozenset({"attention_entropy"})
    information: ClassVar[str] = "layers"
    modality: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def probes(self) -> tuple[Probe, ...]:
        return (Probe(self.layer),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (entropies,) = self.probes()[0].values(out).values()
        return entropies[:, 0]
