from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.types import Outputs, State


@dataclass(frozen=True)
class NCI(Detector):
    """Closeness to the weight of the predicted class, ``-(w_y . (f - mu_0) / |f - mu_0| + alpha |f|_1)`` [1].

    Neural collapse brings the centred feature into line with the weight ``w_y``, which is not normalised;
    ``mu_0`` is the mean of the training features.

    Parameters
    ----------
    alpha : float
        Weight of the feature's norm.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.zeros(2))
    >>> out = Outputs(logits=torch.tensor([[6.0, 0.0]]), features=torch.tensor([[2.0, 0.0]]), head=head)
    >>> NCI(alpha=0.1).score(out, {"mean": torch.zeros(2)})
    tensor([-3.2000])

    References
    ----------
    [1] Liu, Qin. Detecting Out-of-Distribution through the Lens of Neural Collapse. CVPR 2025.
    """

    alpha: float = 1e-4

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features", "head"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"alpha": (1e-4, 1e-3, 1e-2, 1e-1)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"alpha": (0, 1e6)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        return {"mean": data.moments.mean.float()}

    def score(self, out: Outputs, state: State) -> Tensor:
        centred = torch.nn.functional.normalize(out.features - state["mean"], dim=1)
        weight = out.head.weight[out.logits.argmax(1)]
        return -((weight * centred).sum(1) + self.alpha * out.features.abs().sum(1))
