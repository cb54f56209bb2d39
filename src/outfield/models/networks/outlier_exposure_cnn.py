from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class OutlierExposureCNN(nn.Module):
    """The network of the MNIST experiments of Outlier Exposure [1].

    Two 5 x 5 convolutions (10 and 20 channels), each halved by max pooling, and a linear layer to 50 features, each
    followed by a GELU in its sigmoid form, ``x sigmoid(1.702 x)`` [2]: features may be negative.

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
    >>> network = OutlierExposureCNN(classes=10)
    >>> network(torch.rand(2, 1, 28, 28)).shape, network.hidden[0].in_features
    (torch.Size([2, 10]), 320)

    References
    ----------
    [1] Hendrycks, Mazeika, Dietterich. Deep Anomaly Detection with Outlier Exposure. ICLR 2019.
    [2] Hendrycks, Gimpel. Gaussian Error Linear Units. arXiv 1606.08415, 2016.
    """

    published: ClassVar[Mapping[str, str]] = {
        r"^conv1\.": "block1.0.",
        r"^conv2\.": "block2.0.",
        r"^fc1\.": "hidden.0.",
        r"^fc2\.": "head.",
    }
    """Names of the published weights, as patterns, and ours."""

    def __init__(self, classes: int, channels: int = 1, side: int = 28) -> None:
        super().__init__()
        left = ((side - 4) // 2 - 4) // 2
        self.block1 = _halved(channels, 10)
        self.block2 = _halved(10, 20)
        self.hidden = nn.Sequential(nn.Linear(20 * left**2, 50), _SigmoidGELU())
        self.head = nn.Linear(50, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(x))
        logits: Tensor = self.head(self.hidden(x.flatten(1)))
        return logits


class _SigmoidGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def _halved(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 5), nn.MaxPool2d(2), _SigmoidGELU())
