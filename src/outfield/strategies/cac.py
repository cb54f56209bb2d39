from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class CAC(PictureStrategy):
    """Logits of a class gather at its anchor, ``size`` on its own axis: class anchor clustering [1].

    With ``d_c = |z - size e_c|`` the loss is ``log(1 + sum_{c != y} exp(d_y - d_c)) + weight d_y``.

    Parameters
    ----------
    size : float
        alpha: 10 in the paper.
    weight : float
        lambda: 0.1 in the paper.

    Examples
    --------
    >>> distances(torch.tensor([[3.0, 0.0]]), size=3.0)
    tensor([[1.0000e-06, 4.2426e+00]])

    References
    ----------
    [1] Miller, Sünderhauf, Milford, Dayoub. Class Anchor Clustering: A Loss for Distance-based Open Set Recognition.
    WACV 2021.
    """

    learning_rate: float = 0.01
    size: float = 10.0
    weight: float = 0.1

    family: ClassVar[str] = "prototypes"
    limits: ClassVar = {"size": (1e-3, 1e4), "weight": (0.0, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        away = distances(network(batch.x), self.size)
        own = (away * batch.targets).sum(1)
        tuplet = (own[:, None] - away).logsumexp(1)  # the class itself is the 1
        return (tuplet + self.weight * own).mean()


def distances(logits: Tensor, size: float) -> Tensor:
    """Of each row to each anchor, [n, C]."""
    anchors = size * torch.eye(logits.shape[1], device=logits.device, dtype=logits.dtype)
    return (logits[:, None] - anchors).square().sum(2).clamp(min=1e-12).sqrt()
