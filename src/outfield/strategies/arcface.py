from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies._parts import UnitRows, lift_of, lifted
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ArcFace(PictureStrategy):
    """Cosines with a margin in the angle: cross-entropy of ``s cos(angle_y + m)`` against ``s cos(angle_c)`` [1].

    The last linear layer reads ``s f / |f|`` by rows of length 1.

    Parameters
    ----------
    scale : float
        s: 64 in the paper, with many more classes.
    margin : float
        m, in radians: 0.5 in the paper.

    Examples
    --------
    >>> cosines = torch.tensor([[0.5, 0.5]])
    >>> with_margin(cosines, torch.eye(2)[:1], margin=0.0)
    tensor([[0.5000, 0.5000]])

    References
    ----------
    [1] Deng, Guo, Xue, Zafeiriou. ArcFace: Additive Angular Margin Loss for Deep Face Recognition. CVPR 2019.
    """

    scale: float = 16.0
    margin: float = 0.3

    family: ClassVar[str] = "normalised logits"
    limits: ClassVar = {"scale": (1e-3, 1e4), "margin": (0.0, 1.5)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        return lifted(network, _Scaled(self.scale), UnitRows(head.in_features, head.out_features))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        return lifted(network, _Scaled(self.scale), nn.Linear(head.in_features, head.out_features, bias=False))

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        cosines = network(batch.x) / self.scale
        return functional.cross_entropy(self.scale * with_margin(cosines, batch.targets, self.margin), batch.targets)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        head = lift_of(network)
        if isinstance(head.linear, UnitRows):
            head.linear = head.linear.plain()
        return network


class _Scaled(nn.Module):
    """``s f / |f|``."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * functional.normalize(features, dim=1)


def with_margin(cosines: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Cosines [n, C] whose angle to the own class is larger by a margin; beyond half a turn, less by ``m sin m``."""
    safe = cosines.clamp(-1 + 1e-6, 1 - 1e-6)
    limit = torch.tensor(torch.pi - margin).cos()
    own = torch.where(safe > limit, (safe.acos() + margin).cos(), safe - margin * torch.tensor(margin).sin())
    return targets * own + (1 - targets) * safe
