from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import lift_of, lifted
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ARPL(PictureStrategy):
    """Each class is what lies far from its reciprocal point P_c; known features stay within a learned radius [1].

    Logits are ``d_c = |f - P_c|^2 / D - f P_c``; the loss is their cross-entropy plus ``weight`` times
    ``max(0, |f - P_y|^2 / D - R + margin)``. The last linear layer reads ``[f, |f|^2 / D]``, and so gives d; the
    paper's score ``-max_c d_c`` is the detector ``mls``. Without the paper's generator of confusing samples.

    Parameters
    ----------
    weight : float
        Of the radius's term.
    margin : float
        1 in the authors' code, 0 in the paper.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> ARPL().network(lambda: nn.Linear(3, 2), Classify(classes=2)).points.shape
    torch.Size([2, 3])

    References
    ----------
    [1] Chen, Peng, Wang, Tian. Adversarial Reciprocal Points Learning for Open Set Recognition. IEEE TPAMI 2021.
    """

    weight: float = 0.1
    margin: float = 1.0

    family: ClassVar[str] = "prototypes"
    limits: ClassVar = {"weight": (0.0, 1000.0), "margin": (0.0, 1000.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        points = _FromPoints(head.in_features, head.out_features)
        return _WithRadius(lifted(network, _WithSquare(), points))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        return lifted(network, _WithSquare(), nn.Linear(head.in_features + 1, head.out_features))

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        held = _with_radius(network)
        features = _heads.features(network, batch.x)
        logits = held.points_layer(features)
        away = (features[:, None, :-1] - held.points).square().mean(2)
        own = (away * batch.targets).sum(1)
        beyond = functional.relu(own - held.radius + self.margin).mean()
        return functional.cross_entropy(logits, batch.targets) + self.weight * beyond

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = _with_radius(network)
        lift_of(held.network).linear = held.points_layer.plain()
        return held.network


class _WithSquare(nn.Module):
    """``[f, |f|^2 / D]``."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, features.square().mean(1, keepdim=True)], dim=1)


class _FromPoints(nn.Linear):
    """``|f - P_c|^2 / D - f P_c`` of ``[f, |f|^2 / D]``, with the points as the weight [C, D]."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__(size, classes, bias=False)
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, *self.as_linear())

    def as_linear(self) -> tuple[Tensor, Tensor]:
        """Weight [C, D + 1] and bias [C]."""
        points = self.weight
        slope = -(1 + 2 / points.shape[1]) * points
        return torch.cat([slope, torch.ones_like(slope[:, :1])], dim=1), points.square().mean(1)

    @torch.no_grad()
    def plain(self) -> nn.Linear:
        weight, bias = self.as_linear()
        found = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
        found.weight.copy_(weight)
        found.bias.copy_(bias)
        return found


class _WithRadius(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.radius = nn.Parameter(torch.zeros(()))
        self.network = network

    def forward(self, x: Tensor) -> object:
        return self.network(x)

    @property
    def points_layer(self) -> _FromPoints:
        return next(module for module in self.network.modules() if isinstance(module, _FromPoints))

    @property
    def points(self) -> Tensor:
        return self.points_layer.weight


def _with_radius(network: nn.Module) -> _WithRadius:
    return next(module for module in network.modules() if isinstance(module, _WithRadius))
