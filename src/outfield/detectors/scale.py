from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._mass import kept, ratio
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class SCALE(Detector):
    """Activation scaling, then energy: ``-logsumexp(exp(r) W f + b)``, ``r = sum(f) / sum(its k largest)`` [1].

    ``k = D - round(D percentile / 100)``; nothing is pruned. The sums read ``relu(f)``; r is one for a row
    without mass.

    Parameters
    ----------
    percentile : float
        From 0 to 100.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> SCALE(percentile=50).score(Outputs(features=torch.tensor([[3.0, 1.0]]), head=head), {})
    tensor([-11.3815])

    References
    ----------
    [1] Xu, Chen, Franchi, Yao. Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement.
        ICLR 2024.
    """

    percentile: float = 85.0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"percentile": (65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"percentile": (0, 100)}

    def score(self, out: Outputs, state: State) -> Tensor:
        r = ratio(out.features, kept(out.features.shape[1], self.percentile))
        return -torch.logsumexp(out.head(out.features * r.exp()), dim=1)
