from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import Strategy
from outfield.strategies._heads import fitted_head, with_head
from outfield.strategies.base import MakeNetwork, learned
from outfield.tasks.base import Task
from outfield.types import Batch

EPSILON = 0.1
"""A coordinate of the centre that is nearer to zero would be met by weights of zero."""


@dataclass(frozen=True, kw_only=True)
class DeepSVDD(Strategy):
    """One-class learning: representations are drawn to a centre, ``mean |phi(x) - c|^2``, without labels [1].

    The centre is the mean of the first representations of the training set and then stays. The features of the
    finished network are the displacements ``phi(x) - c``, so that the detector ``svdd`` has the paper's score; its
    linear head is fitted to them at the end, to say how much of the classes they keep. The representation is what goes
    into the network's last linear layer; a network without biases, such as ``svdd_lenet``, cannot answer the centre
    to everything.

    Parameters
    ----------
    contamination : float
        Share of the training set that are anomalies taken for normal, drawn from the stream ``outliers`` [2].

    Examples
    --------
    >>> DeepSVDD(contamination=0.1).streams
    frozenset({'outliers'})

    References
    ----------
    [1] Ruff et al. Deep One-Class Classification. ICML 2018.
    [2] Bauw et al. Near out-of-distribution detection for low-resolution radar micro-Doppler signatures. 2022.
    """

    epochs: int = 30
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    contamination: float = 0.0

    tasks: ClassVar[frozenset[str]] = frozenset({"anomaly", "novelty", "ood"})
    family: ClassVar[str] = "self-supervised"
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"contamination": (0.0, 0.5)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contamination:
            object.__setattr__(self, "streams", self.streams | {"outliers"})

    def data(self, data: Batch, task: Task) -> Batch:
        count = round(len(data) * self.contamination / (1 - self.contamination))
        return contaminated(data, data.streams["outliers"], count) if count else data

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return Sphere(make())

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        sphere = sphere_of(network)
        mean = sphere.displacements(data.x).mean(0)
        near = mean.abs() < EPSILON
        sphere.centre.copy_(torch.where(near, torch.where(mean < 0, -EPSILON, EPSILON), mean))

    def optimizer(self, network: nn.Module) -> Optimizer:
        return torch.optim.Adam(learned(network), lr=self.learning_rate, weight_decay=self.weight_decay)

    def schedule(self, step: int, total: int) -> float:
        """A tenth for the last third, as in the paper."""
        return 1.0 if 3 * step < 2 * total else 0.1

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return sphere_of(network).distances(batch.x).mean()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        sphere = sphere_of(network)
        head = fitted_head(sphere.displacements(data.x), data.targets, sphere.head.out_features)
        sphere.head.load_state_dict(head.state_dict())
        return sphere.requires_grad_()


class Sphere(nn.Module):
    """A network whose representation is measured from a centre, with a linear head on top.

    Examples
    --------
    >>> sphere = Sphere(nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 4)))
    >>> sphere(torch.zeros(5, 3)).shape, sphere.distances(torch.zeros(5, 3)).shape
    (torch.Size([5, 4]), torch.Size([5]))
    """

    centre: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        name, head = last_linear(network)
        self.trunk = with_head(network, name, nn.Identity())
        self.register_buffer("centre", torch.zeros(head.in_features))
        self.head = nn.Linear(head.in_features, head.out_features).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(x) - self.centre)
        return logits

    def distances(self, x: Tensor) -> Tensor:
        """Squared distances to the centre [n]."""
        apart: Tensor = self.trunk(x) - self.centre
        return apart.square().sum(1)

    @torch.no_grad()
    def displacements(self, x: Tensor, size: int = 1024) -> Tensor:
        """Representations as they are measured, from the centre, [n, D]."""
        self.eval()
        return torch.cat([self.trunk(chunk) - self.centre for chunk in x.split(size)])


def sphere_of(network: nn.Module) -> Sphere:
    """The sphere, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, Sphere))


def contaminated(data: Batch, strangers: Batch, count: int) -> Batch:
    """The items with ``count`` strangers among them, which bear the labels of items drawn at random.

    Raises
    ------
    UserError
        There are not so many strangers.
    """
    if count > len(strangers):
        raise UserError(
            f"Expected at least {count} outliers to contaminate {len(data)} items with, but got {len(strangers)}. "
            "Give the stream more, or lower the contamination."
        )
    x = torch.cat([data.x, strangers.x[torch.randperm(len(strangers))[:count]]])
    y = torch.cat([data.targets, data.targets[torch.randint(len(data), (count,))]])
    return replace(data, x=x, y=y, groups=None, rows=torch.arange(len(x)))
