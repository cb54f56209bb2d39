from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies import _mixing
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class RegMixup(PictureStrategy):
    """MixUp as a regulariser: the cross-entropy of the clean batch plus that of its mixture [1].

    Parameters
    ----------
    alpha : float
        Of Beta(alpha, alpha); large, so that mixtures are even.
    weight : float
        Of the mixture's term.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> network, batch = nn.Linear(4, 2), Batch(torch.rand(3, 4), torch.eye(2)[[0, 1, 1]])
    >>> clean = functional.cross_entropy(network(batch.x), batch.targets)
    >>> torch.allclose(RegMixup(weight=0.0).loss(network, batch, Classify()), clean)
    True

    References
    ----------
    [1] Pinto, Yang, Lim, Torr, Dokania. Using Mixup as a Regularizer Can Surprisingly Improve Accuracy and
    Out-of-Distribution Robustness. NeurIPS 2022.
    """

    alpha: float = 10.0
    weight: float = 1.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0), "weight": (0.0, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        mixed = _mixing.mixup(batch, self.alpha)
        clean_logits, mixed_logits = network(torch.cat([batch.x, mixed.x])).chunk(2)
        mixture = functional.cross_entropy(mixed_logits, mixed.targets)
        return functional.cross_entropy(clean_logits, batch.targets) + self.weight * mixture
