from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.quantiles import Activations
from outfield.features.row_chunks import in_pieces
from outfield.features.rows import Rows
from outfield.types import Head, Outputs, State


@dataclass(frozen=True)
class OptFS(Detector):
    """Optimal feature shaping: the predicted logit, features weighed by size, ``-sum_j theta(f_j) f_j w_yj`` [1].

    theta is constant on each of ``bins`` equal intervals between the 0.1% and the 99.9% quantile of the training
    activations, and zero beyond. Its value on a bin is the mean over training rows of ``sum_j f_j w_yj`` of the
    activations in it, which maximises the mean score for its length: the closed form of the paper. Only ID data are
    used.

    Parameters
    ----------
    bins : int
    limit : int
        Most training rows that theta is learned from.
    seed : int
        Of the draw.

    Examples
    --------
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> out = Outputs(logits=torch.tensor([[3.0, 1.0]]), features=torch.tensor([[3.0, 1.0]]), head=head)
    >>> OptFS(bins=2).score(out, {"edges": torch.tensor([0.0, 2.0, 4.0]), "theta": torch.tensor([0.5, 2.0])})
    tensor([-6.])

    References
    ----------
    [1] Zhao, Xu, Gupta, Asthana, Zheng, Gould. Towards Optimal Feature-Shaping Methods for Out-of-Distribution
        Detection. ICLR 2024.
    """

    bins: int = 100
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features", "head"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"bins": (50, 100, 200)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"bins": (1, 10_000), "limit": (1, 1e9), "seed": (0, 2**62)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return Activations(), Bank(("features",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        _, bank = self.folds()
        low, high = data.quantile(_TAIL), data.quantile(1 - _TAIL)
        edges = torch.linspace(low, max(high, low + 1e-6), self.bins + 1, dtype=torch.float64)
        rows: Rows = data.fold(bank)
        edges = edges.to(rows["features"].device)
        importance = self._importance(rows, data.head.to(edges.device), edges)
        length = importance.norm().clamp(min=torch.finfo(torch.float64).tiny)
        return {"edges": edges.float(), "theta": (importance / length * self.bins**0.5).float()}

    def _importance(self, rows: Rows, head: Head, edges: Tensor) -> Tensor:
        """Mean over rows of what the activations of each bin add to the predicted logit, [bins]."""
        total = torch.zeros(self.bins + 2, dtype=torch.float64, device=edges.device)
        for chunk in rows.chunks(2048):
            parts = chunk.features * head.weight[head(chunk.features).argmax(1)].to(chunk.features.dtype)
            total.index_add_(0, _bins(chunk.features, edges.float()).flatten(), parts.double().flatten())
        return total[1:-1] / len(rows)

    def score(self, out: Outputs, state: State) -> Tensor:
        theta = torch.nn.functional.pad(state["theta"], (1, 1)).to(out.features.dtype)
        weight = out.head.weight.to(out.features.dtype)

        def shaped(features: Tensor, predicted: Tensor) -> Tensor:
            return -(theta[_bins(features, state["edges"])] * features * weight[predicted]).sum(1)

        return in_pieces(shaped, 4 * out.features.shape[1], out.features, out.logits.argmax(1))


_TAIL = 1e-3


def _bins(features: Tensor, edges: Tensor) -> Tensor:
    """Number of the bin of each activation, from one; zero below all of them, one more than there are above."""
    return torch.bucketize(features, edges.to(features.dtype), right=True)
