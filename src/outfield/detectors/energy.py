from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Energy(Detector):
    """Free energy of the logits, ``-T logsumexp(z / T)`` [1].

    Parameters
    ----------
    temperature : float
        T; the paper finds 1 best.

    Examples
    --------
    >>> Energy().score(Outputs(logits=torch.tensor([[9.0, 0.0], [0.1, 0.0]])), {})
    tensor([-9.0001, -0.7444])

    References
    ----------
    [1] Liu, Wang, Owens, Li. Energy-based Out-of-distribution Detection. NeurIPS 2020.
    """

    temperature: float = 1.0

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"temperature": (1e-6, 1e12)}

    def score(self, out: Outputs, state: State) -> Tensor:
        return -self.temperature * torch.logsumexp(out.logits / self.temperature, dim=1)
