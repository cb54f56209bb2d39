from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies import _heads, _pictures
from outfield.strategies._contrast import contrastive
from outfield.strategies.base import MakeNetwork, Strategy


@dataclass(frozen=True)
class SupCon(Strategy):
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

    family: ClassVar[str] = "self-supervised"
    limits: ClassVar = {"temperature": (1e-3, 100.0), "projection": (1, 100_000), "crop": (0.05, 1.0)}

    def network(self, make: MakeNetwork) -> nn.Module:
        return _heads.with_projector(make(), self.projection)

    def architecture(self, make: MakeNetwork) -> nn.Module:
        return make()

    def augment(self, x: Tensor) -> Tensor:
        return _pictures.zoomed(super().augment(torch.cat([x, x])), self.crop)

    def loss(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return contrastive(network(x), y.argmax(1).repeat(2), self.temperature)

    def finish(self, network: nn.Module, images: Tensor, labels: Tensor, classes: int) -> nn.Module:
        return _heads.without_projector(network, images, labels, classes)
