from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class SVDD(Detector):
    """Squared distance of the features to their origin, which is the centre of a deep SVDD: ``|phi(x) - c|^2`` [1].

    Networks that ``deep_svdd`` or ``deep_sad`` trained measure their features from the centre. Of any other network
    it is the squared norm of the features, which says something else.

    Examples
    --------
    >>> import torch
    >>> SVDD().score(Outputs(features=torch.tensor([[0.0, 0.0], [3.0, 4.0]])), state={})
    tensor([ 0., 25.], dtype=torch.float64)

    References
    ----------
    [1] Ruff et al. Deep One-Class Classification. ICML 2018.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"

    def score(self, out: Outputs, state: State) -> Tensor:
        return out.features.double().square().sum(1)
