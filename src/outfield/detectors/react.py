from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.quantiles import Activations
from outfield.types import Outputs, State


@dataclass(frozen=True)
class ReAct(Detector):
    """Rectified activations, then energy: ``-logsumexp(W min(f, c) + b)`` [1].

    c is a percentile of all activations of the training rows.

    Parameters
    ----------
    percentile : float
        From 0 to 100.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> out = Outputs(features=torch.tensor([[3.0, 1.0]]), head=head)
    >>> ReAct().score(out, {"threshold": torch.tensor([2.0])})
    tensor([-2.3133])

    References
    ----------
    [1] Sun, Guo, Li. ReAct: Out-of-distribution Detection With Rectified Activations. NeurIPS 2021.
    """

    percentile: float = 90.0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"percentile": (70.0, 80.0, 85.0, 90.0, 95.0, 99.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"percentile": (0, 100)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Activations(),)

    def fit(self, data: FitData) -> State:
        return {"threshold": torch.tensor([data.quantile(self.percentile / 100)])}

    def score(self, out: Outputs, state: State) -> Tensor:
        return -torch.logsumexp(out.head(out.features.minimum(state["threshold"])), dim=1)
