from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.types import Head, Outputs, State


@dataclass(frozen=True)
class DICE(Detector):
    """Directed sparsification, then energy: ``-logsumexp((W * M) f + b)`` [1].

    M keeps the weights whose mean contribution ``mu_0,j W_cj`` lies above a percentile of all C D contributions.

    Parameters
    ----------
    percentile : float
        Share in percent of the weights that is dropped, from 0 to 100.

    Examples
    --------
    >>> head = Head(torch.tensor([[2.0, 1.0], [0.5, 3.0]]), torch.zeros(2))
    >>> train = Outputs(logits=torch.zeros(2, 2), features=torch.ones(2, 2), labels=torch.tensor([0, 1]), head=head)
    >>> state = DICE(percentile=50).fit(FitData.of(train))
    >>> state["mask"]
    tensor([[ True, False],
            [False,  True]])
    >>> DICE().score(Outputs(features=torch.tensor([[3.0, 1.0]]), head=head), state)
    tensor([-6.0486])

    References
    ----------
    [1] Sun, Li. DICE: Leveraging Sparsification for Out-of-Distribution Detection. ECCV 2022.
    """

    percentile: float = 90.0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"percentile": (10.0, 30.0, 50.0, 70.0, 90.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"percentile": (0, 100)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        contributions = data.head.weight.double() * data.moments.mean
        threshold = float(np.percentile(contributions.cpu().numpy(), self.percentile))
        return {"mask": contributions > threshold}

    def score(self, out: Outputs, state: State) -> Tensor:
        weight = out.head.weight * state["mask"]
        return -torch.logsumexp(Head(weight, out.head.bias)(out.features), dim=1)
