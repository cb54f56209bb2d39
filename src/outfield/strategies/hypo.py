from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads, _pictures
from outfield.strategies._prototypes import on_sphere
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.strategies.cider import CIDER
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class HYPO(CIDER):
    """Directions of a class are drawn to one prototype, whatever their domain, and prototypes are driven apart [1].

    The loss is that of ``cider`` on one view of each picture. The finished network answers with the nearest prototype:
    its last linear layer is ``mu_c z / T`` and reads z, the point on the sphere, on which ``knn`` works.

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
        A view shows at least this share of the picture's side: all of it by default.

    Examples
    --------
    >>> HYPO().augment(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 1, 8, 8])

    References
    ----------
    [1] Bai, Ming, Katz-Samuels, Li. HYPO: Hyperspherical Out-of-Distribution Generalization. ICLR 2024.
    """

    crop: float = 1.0

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        classes = last_linear(network)[1].out_features
        return _NearestPrototype(_heads.with_projector(network, self.projection), torch.ones(classes, self.projection))

    def augment(self, x: Tensor) -> Tensor:
        return _pictures.zoomed(PictureStrategy.augment(self, x), self.crop)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = on_sphere(network)
        return _NearestPrototype(held.network, held.prototypes[:, 0] / self.temperature)


class _NearestPrototype(nn.Module):
    """``mu_c z / T`` of a network that gives the direction z."""

    def __init__(self, network: nn.Module, prototypes: Tensor) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(prototypes.shape[1], len(prototypes), bias=False, device=prototypes.device)
        self.head.weight.data.copy_(prototypes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(functional.normalize(self.network(x), dim=1))
        return logits
