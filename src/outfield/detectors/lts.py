from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors._mass import kept, ratio
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class LTS(Detector):
    """Logit scaling, then energy: ``-logsumexp(r^2 z)``, ``r = sum(relu(f)) / sum(its k largest)`` [1].

    Parameters
    ----------
    percentile : float
        ``k = D - round(D percentile / 100)``, from 0 to 100: 95 takes the largest 5%.

    Examples
    --------
    >>> out = Outputs(logits=torch.tensor([[2.0, 0.0]]), features=torch.tensor([[3.0, 1.0]]))
    >>> LTS(percentile=50).score(out, {})
    tensor([-3.5837])

    References
    ----------
    [1] Djurisic, Liu, Nikolic. Logit Scaling for Out-of-Distribution Detection. Machine Vision and Applications, 2025.
    """

    percentile: float = 95.0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"percentile": (0, 100)}

    def score(self, out: Outputs, state: State) -> Tensor:
        r = ratio(out.features, kept(out.features.shape[1], self.percentile))
        return -torch.logsumexp(out.logits * r.square(), dim=1)
