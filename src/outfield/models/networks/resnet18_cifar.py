from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class ResNet18Cifar(nn.Module):
    """ResNet-18 for pictures of 32 pixels a side: a 3 x 3 stem without pooling, shortcuts by projection [1, 2].

    The network of OpenOOD's CIFAR benchmarks, whose published weights fit. The features are ``8 * width`` channel means
    after a ReLU.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures.
    width : int
        Channels of the first stage; 64 in the benchmarks.

    Examples
    --------
    >>> network = ResNet18Cifar(classes=10)
    >>> sum(weight.numel() for weight in network.parameters()), network.head.in_features
    (11173962, 512)

    References
    ----------
    [1] He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016.
    [2] Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024.
    """

    published: ClassVar[Mapping[str, str]] = {r"^fc\.": "head."}
    """Names of the published weights, as patterns, and ours."""

    def __init__(self, classes: int, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width)
        self.layer3 = _stage(2 * width, 4 * width)
        self.layer4 = _stage(4 * width, 8 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


class _Residual(nn.Module):
    def __init__(self, wide_in: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide_in, wide, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.shortcut = nn.Sequential()
        if stride > 1 or wide_in != wide:
            self.shortcut.extend([nn.Conv2d(wide_in, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide)])

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(residual + self.shortcut(x))


def _stage(wide_in: int, wide: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(_Residual(wide_in, wide, stride), _Residual(wide, wide, 1))
