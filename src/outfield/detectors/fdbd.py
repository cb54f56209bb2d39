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
class FDBD(Detector):
    """Mean distance of the feature to the decision boundaries, over its distance to the training mean [1].

    ``-(1 / (C - 1)) sum_k (z_y - z_k) / |w_y - w_k| / |f - mu_0|`` with y the predicted class; classes of equal
    weights have no boundary and are skipped.

    Parameters
    ----------
    from_mean : bool
        Divide by ``|f - mu_0|``; otherwise by ``|f|``.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.zeros(2))
    >>> train = Outputs(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 1]), head)
    >>> out = Outputs(logits=torch.tensor([[6.0, 0.0]]), features=torch.tensor([[2.0, 0.0]]))
    >>> FDBD().score(out, FDBD().fit(FitData.of(train)))
    tensor([-0.6000])

    References
    ----------
    [1] Liu, Qin. Fast Decision Boundary based Out-of-Distribution Detector. ICML 2024.
    """

    from_mean: bool = True

    title: ClassVar[str] = "fDBD"
    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"from_mean": (True, False)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        weight = data.head.weight.double()
        gaps = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
        return {"mean": data.moments.mean.float(), "per_gap": torch.where(gaps > 0, 1 / gaps, 0.0).float()}

    def score(self, out: Outputs, state: State) -> Tensor:
        per_gap, mean = state["per_gap"], state["mean"]
        top = out.logits.max(dim=1, keepdim=True)
        distances = ((top.values - out.logits) * per_gap[top.indices[:, 0]]).sum(1) / max(1, len(per_gap) - 1)
        length = (out.features - mean if self.from_mean else out.features).square().sum(1).sqrt()
        return -distances / length.clamp(min=1e-12)
