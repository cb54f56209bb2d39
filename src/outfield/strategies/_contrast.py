"""What SupCon and SimCLR share: views that are projected to a sphere, the contrastive loss, the head at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies import _heads, _pictures
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Contrastive(PictureStrategy):
    """Two views of each picture are projected to a sphere; then a linear head is fitted to the frozen features."""

    temperature: float
    projection: int
    crop: float

    family: ClassVar[str] = "self-supervised"
    limits: ClassVar = {"temperature": (1e-3, 100.0), "projection": (1, 100_000), "crop": (0.05, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _heads.with_projector(make(), self.projection)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def augment(self, x: Tensor) -> Tensor:
        return _pictures.zoomed(super().augment(torch.cat([x, x])), self.crop)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _heads.without_projector(network, data.x, data.targets)


def contrastive(projections: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Mean over anchors i of ``-1/|P(i)| sum_{p in P(i)} log softmax_{a != i}(z_i z_a / T)_p``.

    ``projections`` [m, d] are brought to length 1; ``P(i)`` holds the others of the same group.
    """
    z = functional.normalize(projections, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity.log_softmax(dim=1).masked_fill(itself, 0)
    positive = (groups[:, None] == groups) & ~itself
    return -(log_share * positive).sum(1).div(positive.sum(1)).mean()
