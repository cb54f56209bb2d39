from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SmallData(PictureStrategy):
    """The baseline on a share of each class, with as many steps as the whole would get.

    Equal steps keep two things apart: here the data are few, in ``under_trained`` the steps.

    Parameters
    ----------
    share : float
        Share of each class that is kept; at least one picture is.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> SmallData(share=0.1).data(Batch(torch.zeros(40, 1, 2, 2), torch.arange(40) % 2), Classify()).targets.bincount()
    tensor([2, 2])
    """

    share: float = 0.02

    family: ClassVar[str] = "small data"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def data(self, data: Batch, task: Task) -> Batch:
        return data[torch.cat([self._of_class(data.targets == label) for label in data.targets.unique()])]

    def _of_class(self, members: Tensor) -> Tensor:
        rows = members.nonzero().flatten()
        return rows[torch.randperm(len(rows))[: max(1, math.ceil(self.share * len(rows)))]]
