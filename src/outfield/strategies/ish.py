from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

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
class ISH(PictureStrategy):
    """The head learns most from items that are plainly ID: intermediate tensor shaping [1].

    The forward pass is the baseline's. For the gradient of the head's weight, each feature keeps its largest
    activations alone and is scaled by ``exp(sum of all / sum of those kept)``, as the detector ``scale`` does.

    Parameters
    ----------
    percentile : float
        Share of the activations that are left out, in per cent; 85 in the paper.

    Examples
    --------
    >>> shaped(torch.tensor([[4.0, 1.0, 0.0, 0.0]]), 75.0)  # 4 e^(5 / 4)
    tensor([[13.9614,  0.0000,  0.0000,  0.0000]])

    References
    ----------
    [1] Xu, Chen, Franchi, Yao. Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement.
    ICLR 2024.
    """

    percentile: float = 85.0

    family: ClassVar[str] = "normalised logits"
    limits: ClassVar = {"percentile": (0.0, 99.9)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        head, features = last_linear(network)[1], _heads.features(network, batch.x)
        logits: Tensor = _Shaped.apply(features, head.weight, shaped(features.detach(), self.percentile))  # type: ignore[no-untyped-call]  # torch's
        return soft_cross_entropy(logits if head.bias is None else logits + head.bias, batch.targets)


def shaped(features: Tensor, percentile: float) -> Tensor:
    """The largest activations of each row, times ``exp(sum of all / sum of those kept)``; the others are 0."""
    kept = max(1, int(features.shape[1] * (1 - percentile / 100)))
    top, places = features.abs().topk(kept, dim=1)
    ratio = features.sum(1, keepdim=True) / top.sum(1, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny)
    return torch.zeros_like(features).scatter(1, places, top * ratio.exp())


class _Shaped(torch.autograd.Function):
    """``features @ weight.T``, whose gradient by the weight takes other features in their place."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, others: Tensor) -> Tensor:
        ctx.save_for_backward(weight, others)
        return functional.linear(features, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, others = ctx.saved_tensors
        return gradient @ weight, gradient.T @ others, None
