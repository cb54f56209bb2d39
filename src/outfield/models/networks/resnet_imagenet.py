from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.errors import UserError


class ResNetImagenet(nn.Module):
    """The residual network with bottlenecks for ImageNet [1], its stride in the 3 x 3 convolution.

    Weights published under torchvision's or timm's names for ``resnet50``, ``resnet101`` and ``resnet152`` fit.
    The features are 2048 channel means after a ReLU.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures.
    depth : {50, 101, 152}

    Raises
    ------
    UserError
        Another depth.

    Examples
    --------
    >>> network = ResNetImagenet()
    >>> sum(weight.numel() for weight in network.parameters())
    25557032

    References
    ----------
    [1] He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016.
    """

    published: ClassVar[Mapping[str, str]] = {r"^fc\.": "head."}
    """Names of the published weights, as patterns, and ours."""

    def __init__(self, classes: int = 1000, channels: int = 3, depth: int = 50) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise UserError(f"Expected a depth among {', '.join(map(str, _BLOCKS))}, but got {depth}. Choose one.")
        first, second, third, fourth = _BLOCKS[depth]
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, first, stride=1)
        self.layer2 = _stage(256, 128, second)
        self.layer3 = _stage(512, 256, third)
        self.layer4 = _stage(1024, 512, fourth)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.head(self.avgpool(x).flatten(1))
        return logits


_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class _Bottleneck(nn.Module):
    def __init__(self, wide_in: int, narrow: int, stride: int) -> None:
        super().__init__()
        wide = 4 * narrow
        self.conv1 = nn.Conv2d(wide_in, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _projection(wide_in, wide, stride) if stride > 1 or wide_in != wide else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = torch.relu(self.bn1(self.conv1(x)))
        residual = torch.relu(self.bn2(self.conv2(residual)))
        return torch.relu(self.bn3(self.conv3(residual)) + self.downsample(x))


def _stage(wide_in: int, narrow: int, blocks: int, stride: int = 2) -> nn.Sequential:
    later = (_Bottleneck(4 * narrow, narrow, 1) for _ in range(blocks - 1))
    return nn.Sequential(_Bottleneck(wide_in, narrow, stride), *later)


def _projection(wide_in: int, wide: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide))
