from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class SpectralDecoupling(PictureStrategy):
    """Large logits cost, so that one dominant feature does not starve the others [1].

    ``CE + weight / 2 * mean (z - target)^2`` takes the place of weight decay, which is 0 by default.

    Parameters
    ----------
    weight : float
        lambda of the paper.
    target : float
        gamma of the paper: where logits are drawn to.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.tensor([[2.0, -2.0]]), torch.eye(2)[:1])
    >>> plain = Classify(classes=2).loss(nn.Identity(), batch)
    >>> (SpectralDecoupling(weight=0.1).loss(nn.Identity(), batch, Classify(classes=2)) - plain).item()  # .05 * 8 / 2
    0.2...

    References
    ----------
    [1] Pezeshki, Kaba, Bengio, Courville, Precup, Lajoie. Gradient Starvation: A Learning Proclivity in Neural
    Networks. NeurIPS 2021.
    """

    weight: float = 0.1
    target: float = 0.0
    weight_decay: float = 0.0

    family: ClassVar[str] = "domains"
    limits: ClassVar = {"weight": (0.0, 1000.0), "target": (-1000.0, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        logits: Tensor = network(batch.x)
        return soft_cross_entropy(logits, batch.targets) + self.weight / 2 * (logits - self.target).square().mean()
