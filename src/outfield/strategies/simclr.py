from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies import _pictures
from outfield.strategies._contrast import Contrastive, contrastive
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SimCLR(Contrastive):
    """Self-supervised contrastive learning, then a linear head on the frozen features [1].

    Two views of each picture (a random part of it, its brightness and contrast changed) are projected to a sphere,
    where each is to be found among the views of all others by a softmax of cosines. Labels are seen by the head
    alone, which is fitted to the features of the unchanged pictures.

    Parameters
    ----------
    temperature : float
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.

    Examples
    --------
    >>> SimCLR(crop=0.5).augment(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([6, 1, 8, 8])

    References
    ----------
    [1] Chen, Kornblith, Norouzi, Hinton. A Simple Framework for Contrastive Learning of Visual Representations.
    ICML 2020.
    """

    temperature: float = 0.2
    projection: int = 64
    crop: float = 0.6

    tasks: ClassVar[frozenset[str]] = frozenset({"anomaly", "novelty", "open-set", "ood"})

    def augment(self, x: Tensor) -> Tensor:
        views = super().augment(x)
        for operation in (_pictures.brightness, _pictures.contrast):
            views = operation(views, 0.5 * _pictures.random_strengths(views)).clamp(0, 1)
        return views

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        picture = torch.arange(len(batch) // 2, device=batch.x.device).repeat(2)
        return contrastive(network(batch.x), picture, self.temperature)
