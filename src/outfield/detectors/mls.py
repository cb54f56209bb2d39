from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MLS(Detector):
    """Maximum logit, ``-max_c z_c`` [1].

    Examples
    --------
    >>> import torch
    >>> MLS().score(Outputs(logits=torch.tensor([[9.0, 0.0], [0.1, 0.0]])), {})
    tensor([-9.0000, -0.1000])

    References
    ----------
    [1] Hendrycks, Basart, Mazeika, Zou, Kwon, Mostajabi, Steinhardt, Song. Scaling Out-of-Distribution Detection
        for Real-World Settings. ICML 2022.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"

    def score(self, out: Outputs, state: State) -> Tensor:
        return -out.logits.amax(dim=1)
