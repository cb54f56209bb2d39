from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Igeood(Detector):
    """Fisher-Rao distances of the softmax to the classes' mean logits: minus their sum, or the smallest [1].

    ``d(p, q) = 2 arccos sum_i sqrt(p_i q_i)`` of ``p = softmax(z / T)`` and of the softmax of a class's mean training
    logits. An input of a known class is near one of them and far from all others, so that its sum is large. Features
    add ``weight`` times the smallest Fisher-Rao distance between Gaussians at the feature and at a class mean, both
    with the diagonal covariance of the training rows about their class means. Float64. The authors look for the
    logits of least mean distance to a class, where here its mean logits stand; their step on the input is left out.
    Of two classes the sum says next to nothing: what one distance gains the other loses.

    Parameters
    ----------
    temperature : float
        T.
    over_classes : "sum" or "min"
        Minus the sum of the distances of the logits, as the paper for models whose features are not read, or the least.
    weight : float
        Of the features; with 0 they are not read.

    Raises
    ------
    UserError
        ``over_classes`` is something else. By ``fit``, where a class has no rows.

    Examples
    --------
    >>> state = Igeood().fit(FitData.of(Outputs(logits=9 * torch.eye(3), labels=torch.arange(3))))
    >>> out = Outputs(logits=torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    >>> Igeood().score(out, state).round(decimals=2)
    tensor([-6.1900, -5.6400], dtype=torch.float64)
    >>> Igeood(over_classes="min").score(out, state).round(decimals=2)
    tensor([0.0000, 1.8800], dtype=torch.float64)

    References
    ----------
    [1] Gomes, Alberge, Duhamel, Piantanida. Igeood: An Information Geometry Approach to Out-of-Distribution Detection.
        ICLR 2022.
    """

    temperature: float = 1.0
    over_classes: Literal["sum", "min"] = "sum"
    weight: float = 0.0

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "temperature": (1.0, 2.0, 5.0, 10.0),
        "over_classes": ("sum", "min"),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"temperature": (1e-3, 1e6), "weight": (0, 1e6)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.over_classes not in ("sum", "min"):
            raise UserError(f"Expected over_classes as 'sum' or 'min', but got {self.over_classes!r}. Choose one.")
        if self.weight:
            object.__setattr__(self, "needs", self.needs | {"features"})
            object.__setattr__(self, "information", "hybrid")

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (_MeanLogits(), *([Moments()] if self.weight else []))

    def fit(self, data: FitData) -> State:
        state = {"logits": data.fold(_MeanLogits())}
        if self.weight:
            variances = data.moments.within.diagonal().clone()
            least = 1e-6 * variances.mean().clamp(min=1e-300)
            state |= {"means": data.moments.class_means, "deviations": variances.clamp(min=least).sqrt()}
        return state

    def score(self, out: Outputs, state: State) -> Tensor:
        found = in_pieces(lambda rows: self._of_logits(rows, state["logits"]), 4 * out.logits.shape[1], out.logits)
        if not self.weight:
            return found
        means, deviations = state["means"], state["deviations"]
        return found + self.weight * in_pieces(
            lambda rows: of_equal_gaussians(rows, means, deviations).min(1).values, 3 * means.numel(), out.features
        )

    def _of_logits(self, logits: Tensor, centres: Tensor) -> Tensor:
        p, q = (torch.softmax(one.double() / self.temperature, dim=1) for one in (logits, centres))
        distances = fisher_rao(p, q)
        return distances.min(1).values if self.over_classes == "min" else -distances.sum(1)


def fisher_rao(p: Tensor, q: Tensor) -> Tensor:
    """``2 arccos sum_i sqrt(p_i q_i)`` between distributions [n, C] and [m, C], [n, m]; from 0 to pi.

    Examples
    --------
    >>> fisher_rao(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([[0.0000, 3.1416]], dtype=torch.float64)
    """
    overlap = (p.double().sqrt() @ q.double().sqrt().T).clamp(max=1)
    return 4 * _arcsine(((1 - overlap) / 2).sqrt())


def _arcsine(sine: Tensor) -> Tensor:
    """Arcsine in float64 of values from 0 to 1 / sqrt(2): float32's, which ONNX runtimes have, and a Newton step."""
    rough = torch.arcsin(sine.float()).double()
    reached = rough.sin()
    return rough + (sine - reached) / (1 - reached.square()).sqrt()


def of_gaussians(mean: Tensor, deviation: Tensor, other_mean: Tensor, other_deviation: Tensor) -> Tensor:
    """Fisher-Rao distance of Gaussians of one dimension, elementwise.

    ``sqrt(2) arccosh(1 + ((m - m')^2 / 2 + (s - s')^2) / (2 s s'))``.

    Examples
    --------
    >>> zero, one = torch.zeros(1), torch.ones(1)
    >>> of_gaussians(zero, one, zero, 2.718281828 * one)
    tensor([1.4142])
    """
    apart = (mean - other_mean).square() / 2 + (deviation - other_deviation).square()
    root = (apart / (4 * deviation * other_deviation)).sqrt()
    return 2 * math.sqrt(2) * torch.log1p(root + root.square() / (1 + (1 + root.square()).sqrt()))


def of_equal_gaussians(rows: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """Fisher-Rao distances of Gaussians at rows [n, D] and means [C, D] with the deviations [D] of both, [n, C].

    Examples
    --------
    >>> of_equal_gaussians(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]), torch.ones(2))
    tensor([[0.]], dtype=torch.float64)
    """
    distances = of_gaussians(rows.double()[:, None], deviations, means, deviations)
    return distances.square().sum(2).sqrt()


@dataclass(frozen=True)
class _MeanLogits(Fold[Tensor, Tensor]):
    """Mean logits of the training rows of each class, [C, C], in float64.

    Raises
    ------
    UserError
        By ``finish``, where a class has no rows.

    Examples
    --------
    >>> out = Outputs(logits=torch.tensor([[4.0, 0.0], [0.0, 2.0]]), labels=torch.tensor([0, 1]))
    >>> fold = _MeanLogits()
    >>> fold.finish(fold.update(fold.start(out), out, first=0))
    tensor([[4., 0.],
            [0., 2.]], dtype=torch.float64)
    """

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "labels")

    def start(self, like: Outputs) -> Tensor:
        classes = like.logits.shape[1]
        return torch.zeros(classes, classes + 1, dtype=torch.float64, device=like.logits.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        counted = torch.cat([chunk.logits, torch.ones_like(chunk.logits[:, :1])], dim=1)
        return total.index_add_(0, chunk.labels, counted.double())

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        if absent := torch.nonzero(total[:, -1] == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class, but class {', '.join(map(str, absent))} has none. "
                "Fit on training data that holds each class that the head knows."
            )
        return total[:, :-1] / total[:, -1:]
