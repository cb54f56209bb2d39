from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold, Split
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class KLM(Detector):
    """KL matching: divergence of the softmax from the nearest class template, ``min_k KL(p || d_k)`` [1].

    ``d_k`` is the mean softmax of held-out ID rows that are predicted as k; a class that is never predicted has no
    template.

    Examples
    --------
    >>> val = Outputs(logits=torch.tensor([[2.0, 0.0], [0.0, 2.0]]), labels=torch.tensor([0, 1]))
    >>> state = KLM().fit(FitData.of(val, val))
    >>> KLM().score(Outputs(logits=torch.tensor([[2.0, 0.0], [0.0, 0.0]])), state)
    tensor([0.0000, 0.4338], dtype=torch.float64)

    References
    ----------
    [1] Hendrycks, Basart, Mazeika, Zou, Kwon, Mostajabi, Steinhardt, Song. Scaling Out-of-Distribution Detection
        for Real-World Settings. ICML 2022.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (_Templates(),)

    def fit(self, data: FitData) -> State:
        return {"log_templates": data.fold(_Templates()).log()}

    def score(self, out: Outputs, state: State) -> Tensor:
        templates = state["log_templates"]
        return in_pieces(lambda logits: _divergence(logits, templates), 4 * out.logits.shape[1], out.logits)


def _divergence(logits: Tensor, log_templates: Tensor) -> Tensor:
    logs = torch.log_softmax(logits.double(), dim=1)
    p = logs.exp()
    return (p * logs).sum(1) - (p @ log_templates.T).amax(1)


@dataclass(frozen=True)
class _Templates(Fold[Tensor, Tensor]):
    """Mean softmax of each class that is predicted, [K, C]; sums carry their count in the last column."""

    reads: ClassVar[tuple[str, ...] | None] = ("logits",)

    split: Split = field(default="val", kw_only=True)

    def start(self, like: Outputs) -> Tensor:
        classes = like.logits.shape[1]
        return torch.zeros(classes, classes + 1, dtype=torch.float64, device=like.logits.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        counted = torch.nn.functional.pad(torch.softmax(chunk.logits.double(), dim=1), (0, 1), value=1.0)
        return total.index_add_(0, chunk.logits.argmax(1), counted)

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        predicted = total[total[:, -1] > 0]
        return (predicted[:, :-1] / predicted[:, -1:]).clamp(min=torch.finfo(torch.float64).tiny)
