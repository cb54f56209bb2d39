from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._prototypes import on_sphere
from outfield.strategies._virtual import Queues, boundary
from outfield.strategies.base import MakeNetwork, Optimizers
from outfield.strategies.cider import CIDER
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class NPOS(CIDER):
    """Outliers are drawn beside the loneliest ID points on the sphere, without a Gaussian, and told from ID [1].

    The loss of ``cider`` plus ``outliers`` times the cross-entropy of a small network that tells points of the batch
    from those drawn. A class's ``edges`` points with the farthest k-th neighbour get Gaussian points around them; those
    farthest from all are kept. Then a linear head is fitted.

    Parameters
    ----------
    weight : float
        Of the compactness.
    temperature : float
    momentum_of_prototypes : float
        Weight of the past when a prototype moves.
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.
    outliers : float
        Weight of the term: 0.1 in the paper.
    queue : int
        Points of a class.
    k : int
        Of its neighbours.
    edges : int
        Points of a class that outliers are drawn beside.
    draws : int
        Beside each.
    count : int
        Of these, those kept.
    sigma : float
        Of the Gaussian: 0.1 in the authors' code.
    start : float
        Share of the steps before.

    Examples
    --------
    >>> NPOS(k=3).params["sigma"]
    0.1

    References
    ----------
    [1] Tao, Du, Zhu, Li. Non-parametric Outlier Synthesis. ICLR 2023.
    """

    outliers: float = 0.1
    queue: int = 200
    k: int = 10
    edges: int = 2
    draws: int = 100
    count: int = 2
    sigma: float = 0.1
    start: float = 0.4

    family: ClassVar[str] = "outlier exposure"
    limits: ClassVar = {
        **CIDER.limits,
        "outliers": (0.0, 1000.0),
        "queue": (2, 1_000_000),
        "k": (1, 1_000_000),
        "edges": (1, 1_000_000),
        "draws": (1, 1_000_000),
        "count": (1, 1_000_000),
        "sigma": (0.0, 100.0),
        "start": (0.0, 1.0),
    }

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = super().network(make, task)
        held, size = on_sphere(network), self.projection
        held.queues = Queues(len(held.prototypes), self.queue, size)
        held.told = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))
        return network

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        z, held = network(batch.x), on_sphere(network)
        queues, told = held.queues, held.told
        assert isinstance(queues, Queues) and isinstance(told, nn.Module)
        queues.push(z, batch.targets.argmax(1).repeat(2))
        loss = self.of(held, z, batch)
        if optimizers.step >= self.start * optimizers.total:
            outside = torch.cat([self.beside(rows) for rows in queues.held()])
            loss = loss + self.outliers * _told_apart(told(z), told(outside))
        optimizers.descend(loss)

    def beside(self, rows: Tensor) -> Tensor:
        """Outliers beside the points of a class."""
        return boundary(rows, k=self.k, edges=self.edges, draws=self.draws, count=self.count, sigma=self.sigma)


def _told_apart(inside: Tensor, outside: Tensor) -> Tensor:
    """Binary cross-entropy of one logit a point, high inside."""
    kinds = torch.cat([torch.ones_like(inside), torch.zeros_like(outside)])
    return functional.binary_cross_entropy_with_logits(torch.cat([inside, outside]), kinds)
