from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies._parts import UnitRows, lift_of, lifted
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class AbeT(PictureStrategy):
    """Logits ``cos(f, w_c) / T(x)``, with a learned temperature of each input, ``T = sigmoid(BN(v f + a))`` [1].

    The last linear layer of the finished network reads ``f / (|f| T)``, by rows of length 1. So the paper's score, the
    energy without its leading T, ``-log sum_c exp(cos_c / T)``, is the detector ``energy``. T is one over the length of
    those features; the energy that keeps its T is T times that score.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> network = AbeT().network(lambda: nn.Linear(3, 2), Classify(classes=2))
    >>> directions = network.lift(torch.randn(8, 3))
    >>> bool((directions.norm(dim=1) > 1).all())  # 1 / T
    True

    References
    ----------
    [1] LeVine, Pikus, Phillips, Norman, Amat Gil, Hendryx. Out-of-Distribution Detection & Applications With Ablated
    Learned Temperature Energy. 2024.
    """

    family: ClassVar[str] = "normalised logits"

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        return lifted(network, _Tempered(head.in_features), UnitRows(head.in_features, head.out_features))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        plain = nn.Linear(head.in_features, head.out_features, bias=False)
        return lifted(network, _Tempered(head.in_features), plain)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return functional.cross_entropy(network(batch.x), batch.targets)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        head = lift_of(network)
        if isinstance(head.linear, UnitRows):
            head.linear = head.linear.plain()
        return network


class _Tempered(nn.Module):
    """Directions over the temperature of their input, ``f / (|f| T)``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.temperature = nn.Sequential(nn.Linear(size, 1), nn.BatchNorm1d(1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = functional.normalize(features, dim=1) / self.temperature(features)
        return found
