from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._contrast import contrastive
from outfield.strategies._parts import WithParts, with_parts
from outfield.strategies._rotations import check_square, turned
from outfield.strategies.base import MakeNetwork
from outfield.strategies.simclr import SimCLR
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class CSI(SimCLR):
    """Contrasting shifted instances: a picture turned by 90 degrees or more counts as another one [1].

    As ``simclr``, with each view also turned by 90, 180 and 270 degrees; beside the contrast, a head tells by how much.
    With ``supervised`` all pictures of a class in one rotation are drawn together.

    Parameters
    ----------
    supervised : bool
    weight : float
        Of the loss of the rotation: 1 in the paper.
    temperature, projection, crop
        As SimCLR's.

    Examples
    --------
    >>> CSI(supervised=True).params["weight"]
    1.0

    References
    ----------
    [1] Tack, Mo, Jeong, Shin. CSI: Novelty Detection via Contrastive Learning on Distributionally Shifted Instances.
    NeurIPS 2020.
    """

    supervised: bool = False
    weight: float = 1.0

    limits: ClassVar = {**SimCLR.limits, "weight": (0.0, 1000.0)}

    def check(self, data: Batch) -> None:
        super().check(data)
        check_square(data, "CSI")

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        projecting = super().network(make, task)
        return WithParts(projecting, {"rotation": nn.Linear(last_linear(projecting)[1].in_features, 4)})

    def augment(self, x: Tensor) -> Tensor:
        return turned(super().augment(x))

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        features, z = _heads.features_and_answer(network, batch.x, _projector(network))
        views = len(z) // 4
        items = len(batch.targets)
        kinds = batch.targets.argmax(1) if self.supervised else torch.arange(items, device=z.device)
        angles = torch.arange(4, device=z.device).repeat_interleave(views)
        told = functional.cross_entropy(with_parts(network).parts["rotation"](features), angles)
        groups = kinds.repeat(len(z) // items) + len(batch.targets[0]) * items * angles
        return contrastive(z, groups, self.temperature) + self.weight * told

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return super().finish(with_parts(network).network, data, task)


def _projector(network: nn.Module) -> nn.Module:
    """The projection in the place of the head."""
    return network.get_submodule(last_linear(network)[0].rpartition(".")[0])
