from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class SquareLoss(PictureStrategy):
    """Squares in the place of cross-entropy, ``(k (z_y - M)^2 + sum_{c != y} z_c^2) / C`` [1].

    Parameters
    ----------
    weight : float
        k: 1 in the paper for few classes, 15 on ImageNet.
    target : float
        M: 1 in the paper for few classes, 30 on ImageNet.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> SquareLoss().loss(nn.Identity(), Batch(torch.zeros(1, 4), torch.eye(4)[:1]), Classify())
    tensor(0.2500)

    References
    ----------
    [1] Hui, Belkin. Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy in Classification
    Tasks. ICLR 2021.
    """

    learning_rate: float = 0.05
    weight: float = 1.0
    target: float = 1.0

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"weight": (0.0, 1e4), "target": (0.0, 1e4)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        logits, own = network(batch.x), batch.targets
        squares = self.weight * own * (logits - self.target).square() + (1 - own) * logits.square()
        loss: Tensor = squares.mean()
        return loss
