from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from outfield.strategies._contrast import Contrastive, contrastive
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SupCon(Contrastive):
    """Supervised contrastive learning, then a linear head on the frozen features [1].

    Two views of each picture are projected to a sphere, where pictures of one class are drawn together and
    others pushed apart (the paper's L_out). Afterwards the projection is dropped and a linear head is fitted to
    the features of the unchanged pictures.

    Parameters
    ----------
    temperature : float
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.

    Examples
    --------
    >>> import torch
    >>> SupCon(temperature=0.5).augment(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([6, 1, 8, 8])

    References
    ----------
    [1] Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan. Supervised Contrastive Learning.
    NeurIPS 2020.
    """

    temperature: float = 0.1
    projection: int = 64
    crop: float = 0.8

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return contrastive(network(batch.x), batch.targets.argmax(1).repeat(2), self.temperature)
