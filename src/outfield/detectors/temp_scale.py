from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._softmax import others
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold, Split
from outfield.types import Outputs, State

_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class TempScale(Detector):
    """Maximum softmax probability at the temperature that calibrates the model, ``1 - max_c softmax(z / T*)_c`` [1].

    ``T* = argmin_T NLL(z / T)`` on held-out ID rows, by Newton's method on ``1 / T``, in which the likelihood is
    convex; T* is kept from 0.05 (held-out rows that are all right have no best temperature) to 20.

    Examples
    --------
    >>> val = Outputs(logits=torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), labels=torch.tensor([0, 0, 1]))
    >>> state = TempScale().fit(FitData.of(val, val))
    >>> state
    {'temperature': tensor([2.8854], dtype=torch.float64)}
    >>> TempScale().score(Outputs(logits=torch.tensor([[2.0, 0.0]])), state)
    tensor([0.3333], dtype=torch.float64)

    References
    ----------
    [1] Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return tuple(_Slope(inverse) for inverse in (1 / _HOTTEST, 1.0, 1 / _COLDEST))

    def fit(self, data: FitData) -> State:
        return {"temperature": torch.tensor([1 / _best_inverse(data)], dtype=torch.float64)}

    def score(self, out: Outputs, state: State) -> Tensor:
        return others(out.logits.double() / state["temperature"])


@dataclass(frozen=True)
class _Slope(Fold[Tensor, "tuple[float, float]"]):
    """First and second derivative of the mean ``NLL(inverse * z)`` with respect to the inverse temperature."""

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "labels")

    inverse: float = 1.0
    split: Split = field(default="val", kw_only=True)

    def start(self, like: Outputs) -> Tensor:
        return torch.zeros(3, dtype=torch.float64, device=like.logits.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        logits = chunk.logits.double()
        p = torch.softmax(self.inverse * logits, dim=1)
        mean = (p * logits).sum(1)
        slope = mean - logits.gather(1, chunk.labels[:, None])[:, 0]
        curvature = (p * (logits - mean[:, None]).square()).sum(1)
        return total + torch.stack([slope.sum(), curvature.sum(), torch.ones_like(slope).sum()])

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> tuple[float, float]:
        slope, curvature, n = total.tolist()
        return slope / n, curvature / n


def _best_inverse(data: FitData) -> float:
    """The inverse temperature where the slope is zero, or the end that it points to."""
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    if data.fold(_Slope(high))[0] <= 0:
        return high
    if data.fold(_Slope(low))[0] >= 0:
        return low
    return _root(data, low, high)


def _root(data: FitData, low: float, high: float, steps: int = 100, tolerance: float = 1e-9) -> float:
    """Newton's method, held inside a bracket that shrinks."""
    inverse = 1.0
    for _ in range(steps):
        slope, curvature = data.fold(_Slope(inverse))
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else math.inf
        following = step if low <= step <= high else math.sqrt(low * high)
        if abs(following - inverse) <= tolerance * inverse:
            break
        inverse = following
    return inverse
