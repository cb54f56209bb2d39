from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class T2FNorm(PictureStrategy):
    """Features have one length in training, ``W f / (temperature |f|) + b``, and their own in the finished network [1].

    What the head learns depends on directions alone. The length of a feature is then left to tell OOD inputs, whose
    features are shorter. The finished head is ``W / temperature``.

    Parameters
    ----------
    temperature : float
        0.1 in the paper.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> strategy, task, network = T2FNorm(), Classify(classes=2), nn.Linear(3, 2)
    >>> one, longer = (Batch(scale * torch.ones(1, 3), torch.eye(2)[:1]) for scale in (1, 5))
    >>> torch.isclose(strategy.loss(network, one, task), strategy.loss(network, longer, task)).item()
    True

    References
    ----------
    [1] Regmi, Panthi, Dotel, Gyawali, Stoyanov, Bhattarai. T2FNorm: Train-time Feature Normalization for OOD Detection
    in Image Classification. CVPR Workshops 2024.
    """

    temperature: float = 0.1

    family: ClassVar[str] = "normalised logits"
    limits: ClassVar = {"temperature": (1e-4, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        directions = functional.normalize(_heads.features(network, batch.x), dim=1)
        return soft_cross_entropy(last_linear(network)[1](directions / self.temperature), batch.targets)

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        last_linear(network)[1].weight /= self.temperature
        return network
