from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class LogitNorm(PictureStrategy):
    """Cross-entropy of logits at a fixed length, ``CE(z / (temperature * |z|), y)`` [1].

    A network can then lower its loss by the direction of the logits alone, and does not grow ever surer.

    Parameters
    ----------
    temperature : float
        0.04 in the paper on CIFAR-10.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.tensor([[3.0, 0.0]]), torch.eye(2)[:1])
    >>> longer = Batch(batch.x * 7, batch.y)
    >>> one, other = (LogitNorm().loss(nn.Identity(), each, Classify(classes=2)) for each in (batch, longer))
    >>> torch.isclose(one, other).item()
    True

    References
    ----------
    [1] Wei, Xie, Cheng, Feng, An, Li. Mitigating Neural Network Overconfidence with Logit Normalization. ICML 2022.
    """

    temperature: float = 0.04

    family: ClassVar[str] = "normalised logits"
    limits: ClassVar = {"temperature": (1e-4, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        logits = functional.normalize(network(batch.x), dim=1, eps=1e-7)
        return soft_cross_entropy(logits / self.temperature, batch.targets)
