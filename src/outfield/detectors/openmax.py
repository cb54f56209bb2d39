from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield import keys
from outfield.detectors._class_means import MeansOfRight
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State


@dataclass(frozen=True)
class OpenMax(Detector):
    """Probability of the unknown class after the logits are weighed by distance to their class [1].

    ``F_c`` is a Weibull distribution of the ``tail`` largest distances of right training rows to their class's mean
    logits, fitted by maximum likelihood to ``d - min + 1``. The logit of the i-th ranked class, i up to ``alpha``,
    keeps ``w_i = 1 - (alpha + 1 - i) / alpha F_i(d_i)`` of its value; what it loses goes to the unknown class 0. The
    score is ``softmax([sum_c z_c (1 - w_c), z w])_0``, float64. The tail is to be a small part of a class: where it is
    all of it, as 20 of 20 rows are, F halves the logit of the usual row, and known inputs look unknown.

    Parameters
    ----------
    alpha : int
        Clipped to the number of classes.
    tail : int

    Raises
    ------
    UserError
        By ``fit``, where no row of a class is predicted right.

    Examples
    --------
    >>> rows = torch.tensor([[4.0, 0.0], [6.0, 0.0], [0.0, 4.0], [0.0, 6.0]])
    >>> train = Outputs(logits=rows, labels=torch.tensor([0, 0, 1, 1]))
    >>> state = OpenMax().fit(FitData.of(train))
    >>> OpenMax(alpha=1).score(Outputs(logits=torch.tensor([[5.0, 0.0], [5.0, 4.0]])), state)
    tensor([0.0066, 0.7275], dtype=torch.float64)

    References
    ----------
    [1] Bendale, Boult. Towards Open Set Deep Networks. CVPR 2016.
    """

    alpha: int = 3
    tail: int = 20

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"alpha": (1, 1e9), "tail": (1, 1e6)}

    def clipped(self, data: FitData) -> Self:
        return replace(self, alpha=min(self.alpha, data.classes))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (MeansOfRight("logits"),)

    def fit(self, data: FitData) -> State:
        means = data.fold(MeansOfRight("logits"))
        tails = data.fold(_Tails(keys.of_tensors({"means": means}), self.tail, means))
        shape, scale, least = _weibull(tails)
        return {"means": means, "shape": shape, "scale": scale, "least": least}

    def score(self, out: Outputs, state: State) -> Tensor:
        logits = out.logits.double()
        lost = logits * self._ranks(logits) * _cdf(_distances(logits, state["means"]), state)
        return torch.softmax(torch.cat([lost.sum(1, keepdim=True), logits - lost], dim=1), dim=1)[:, 0]

    def _ranks(self, logits: Tensor) -> Tensor:
        """``(alpha + 1 - i) / alpha`` for the class of rank i up to alpha, else zero, [n, C]."""
        alpha = min(self.alpha, logits.shape[1])
        weights = torch.arange(alpha, 0, -1, dtype=logits.dtype, device=logits.device) / alpha
        top = logits.topk(alpha, dim=1).indices
        return torch.zeros_like(logits).scatter_(1, top, weights.expand_as(top))


_ROWS = 2048
"""Rows that are widened to float64 at a time."""


def _distances(logits: Tensor, means: Tensor) -> Tensor:
    """Euclidean distances [n, C] in float64, ``sqrt(|a|^2 + |b|^2 - 2ab)``: those of a row are its own."""
    squares = logits.square().sum(1, keepdim=True) + means.square().sum(1) - 2 * logits @ means.T
    return squares.clamp(min=0).sqrt()


def _cdf(distances: Tensor, state: State) -> Tensor:
    shifted = (distances - state["least"] + 1).clamp(min=1e-300)
    return 1 - (-(state["shape"] * (shifted.log() - state["scale"].log())).exp()).exp()


def _weibull(tails: Tensor, steps: int = 80) -> tuple[Tensor, Tensor, Tensor]:
    """Shape, scale [C] of Weibull distributions with location 0 for the rows of ``d - min + 1``, and the minima.

    The likelihood's equation in the shape k, ``sum x^k ln x / sum x^k - 1 / k = mean ln x``, rises in k: bisection on
    log k from 1e-3 to 1e4 for all classes at once. Entries of minus infinity are absent.
    """
    there = tails.isfinite()
    least = tails.where(there, torch.inf).amin(1)
    logs = (tails - least[:, None] + 1).log().where(there, 0.0)
    n = there.sum(1)
    low, high = torch.full_like(least, 1e-3).log(), torch.full_like(least, 1e4).log()
    for _ in range(steps):
        shape = ((low + high) / 2).exp()
        weights = (shape[:, None] * logs).where(there, -torch.inf).softmax(1)
        rises = (weights * logs).sum(1) - 1 / shape > logs.sum(1) / n
        low, high = low.where(rises, shape.log()), high.where(~rises, shape.log())
    shape = ((low + high) / 2).exp()
    powers = (shape[:, None] * logs).where(there, -torch.inf).logsumexp(1) - n.log()
    return shape, (powers / shape).exp(), least


@dataclass(frozen=True)
class _Tails(Fold[Tensor, Tensor]):
    """The largest distances of right rows to their class's mean logits, [C, tail]; minus infinity if fewer."""

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "labels")

    digest: str
    tail: int
    means: Tensor = field(compare=False)

    def start(self, like: Outputs) -> Tensor:
        return self.means.new_full((len(self.means), self.tail), -torch.inf)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        for piece in chunk.chunks(_ROWS):
            total = self._added(total, piece)
        return total

    def _added(self, total: Tensor, chunk: Outputs) -> Tensor:
        right = chunk[chunk.logits.argmax(1) == chunk.labels]
        distances = torch.linalg.vector_norm(right.logits.double().sub_(self.means[right.labels]), dim=1)
        return self.merge(total, self._ranked(distances, right.labels))

    def _ranked(self, distances: Tensor, labels: Tensor) -> Tensor:
        """The chunk's own table: distances sorted, then by class, each at its rank among its class."""
        order = distances.argsort(descending=True)
        order = order[labels[order].argsort(stable=True)]
        labels = labels[order]
        rank = torch.arange(len(order), device=labels.device) - torch.searchsorted(labels, labels)
        first = rank < self.tail
        table = self.means.new_full((len(self.means), self.tail), -torch.inf)
        table[labels[first], rank[first]] = distances[order][first]
        return table

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return torch.cat([total, other], dim=1).topk(self.tail, dim=1).values

    def finish(self, total: Tensor) -> Tensor:
        return total
