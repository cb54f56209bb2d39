from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import Accompanied, labels, with_parts
from outfield.strategies._virtual import Queues, unlikely
from outfield.strategies.base import Optimizers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class VOS(Accompanied):
    """Virtual outliers are drawn where the classes' Gaussians are thin, and their energy is told from that of ID [1].

    Gaussians with one covariance stand for the last features of each class. ``weight`` times a logistic regression
    on ``log sum_c max(w_c, 0) exp z_c`` tells features of the batch from the ``count`` least likely of ``draws`` of
    each class. w and the regression are learned, and left out of what is measured.

    Parameters
    ----------
    weight : float
        0.1 in the paper.
    queue : int
        Features of a class: 1000 in the paper.
    draws : int
        10000 in the paper.
    count : int
        1 in the paper.
    start : float
        Share of the steps before: 0.4 in the paper.

    Examples
    --------
    >>> VOS(start=0.5).params["weight"]
    0.1

    References
    ----------
    [1] Du, Wang, Cai, Li. VOS: Learning What You Don't Know by Virtual Outlier Synthesis. ICLR 2022.
    """

    weight: float = 0.1
    queue: int = 200
    draws: int = 10_000
    count: int = 1
    start: float = 0.4

    family: ClassVar[str] = "outlier exposure"
    limits: ClassVar = {
        "weight": (0.0, 1000.0),
        "queue": (2, 1_000_000),
        "draws": (1, 10_000_000),
        "count": (1, 1_000_000),
        "start": (0.0, 1.0),
    }

    def parts(self, features: int, classes: int) -> dict[str, nn.Module]:
        return {"queues": Queues(classes, self.queue, features), "uncertainty": _Uncertainty(classes)}

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        parts = with_parts(network).parts
        features = _heads.features(network, batch.x)
        logits = last_linear(network)[1](features)
        queues = parts["queues"]
        assert isinstance(queues, Queues)
        queues.push(features, labels(batch))
        loss = functional.cross_entropy(logits, batch.targets)
        held = queues.held()
        if held and optimizers.step >= self.start * optimizers.total:
            outside = last_linear(network)[1](unlikely(held, self.draws, min(self.count, self.draws)))
            loss = loss + self.weight * parts["uncertainty"](logits, outside)
        optimizers.descend(loss)


class _Uncertainty(nn.Module):
    """Cross-entropy of a logistic regression that tells logits inside from logits outside by their weighted energy."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.rand(classes))
        self.regression = nn.Linear(1, 2)

    def forward(self, inside: Tensor, outside: Tensor) -> Tensor:
        told = self.regression(weighted(torch.cat([inside, outside]), self.weights)[:, None])
        kinds = torch.cat([torch.ones(len(inside)), torch.zeros(len(outside))]).long().to(told.device)
        return functional.cross_entropy(told, kinds)


def weighted(logits: Tensor, weights: Tensor) -> Tensor:
    """``log sum_c max(w_c, 0) exp z_c``, [n].

    Examples
    --------
    >>> weighted(torch.zeros(1, 3), torch.tensor([1.0, -5.0, 1.0])) - torch.tensor(2.0).log()
    tensor([0.])
    """
    return (logits + functional.relu(weights).clamp(min=1e-12).log()).logsumexp(1)
