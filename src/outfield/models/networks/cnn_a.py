from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class CnnA(nn.Module):
    """The small network of certified training: two strided 4 x 4 convolutions, two linear layers [1, 2].

    16 and 32 channels, stride 2, padding 1, a ReLU after each layer but the last; 100 features. ``cnn_a`` reads CIFAR
    pictures, the certified MNIST and Fashion-MNIST networks are the same layers on one channel and 28 pixels a side.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures.
    side : int
        Their side; the linear layers fix it.

    Examples
    --------
    >>> import torch
    >>> network = CnnA(classes=10)
    >>> network(torch.rand(2, 3, 32, 32)).shape, network.head.in_features
    (torch.Size([2, 10]), 100)

    References
    ----------
    [1] Wong, Kolter. Provable Defenses against Adversarial Examples via the Convex Outer Adversarial Polytope.
        ICML 2018.
    [2] Wang et al. Beta-CROWN: Efficient Bound Propagation with Per-neuron Split Constraints. NeurIPS 2021.
    """

    published: ClassVar[Mapping[str, str]] = {
        r"^0\.": "block1.0.",
        r"^2\.": "block2.0.",
        r"^5\.": "hidden.0.",
        r"^7\.": "head.",
    }
    """Names of the published weights, as patterns, and ours."""

    def __init__(self, classes: int, channels: int = 3, side: int = 32) -> None:
        super().__init__()
        self.block1 = _halved(channels, 16)
        self.block2 = _halved(16, 32)
        self.hidden = nn.Sequential(nn.Linear(32 * (side // 4) ** 2, 100), nn.ReLU())
        self.head = nn.Linear(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(x))
        logits: Tensor = self.head(self.hidden(x.flatten(1)))
        return logits


def _halved(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 4, stride=2, padding=1), nn.ReLU())
