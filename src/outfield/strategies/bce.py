from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies.base import Strategy


@dataclass(frozen=True)
class BCE(Strategy):
    """A yes or no for each class: binary cross-entropy of each logit, summed over classes, in the place of softmax [1].

    Examples
    --------
    >>> import torch
    >>> BCE().loss(nn.Identity(), torch.zeros(1, 4), torch.eye(4)[:1]) / 4
    tensor(0.6931)

    References
    ----------
    [1] Wightman, Touvron, Jégou. ResNet Strikes Back: An Improved Training Procedure in timm. NeurIPS 2021 workshop.
    """

    family: ClassVar[str] = "recipe"

    def loss(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(network(x), y, reduction="none").sum(1).mean()
