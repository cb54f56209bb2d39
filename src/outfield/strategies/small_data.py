from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies.base import Strategy


@dataclass(frozen=True)
class SmallData(Strategy):
    """The baseline on a share of each class, with as many steps as the whole would get.

    Equal steps keep two things apart: here the data are few, in ``under_trained`` the steps.

    Parameters
    ----------
    share : float
        Share of each class that is kept; at least one picture is.

    Examples
    --------
    >>> images, labels = torch.zeros(40, 1, 2, 2), torch.arange(40) % 2
    >>> SmallData(share=0.1).data(images, labels, classes=2)[1].bincount()
    tensor([2, 2])
    """

    share: float = 0.02

    family: ClassVar[str] = "small data"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def data(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        kept = torch.cat([self._of_class(labels == label) for label in range(classes)])
        return images[kept], labels[kept]

    def _of_class(self, members: Tensor) -> Tensor:
        rows = members.nonzero().flatten()
        return rows[torch.randperm(len(rows))[: max(1, math.ceil(self.share * len(rows)))]]
