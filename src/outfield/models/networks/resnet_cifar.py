from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError


class ResNetCifar(nn.Module):
    """The residual network for small pictures [1]: ``6 n + 2`` layers in three stages, shortcuts without parameters.

    Where a stage halves the side and doubles the channels, the shortcut takes every second pixel and fills the new
    channels with zeros (option A of the paper). The features are ``4 * width`` channel means after a ReLU.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures.
    depth : int
        ``6 n + 2``: 20, 32, 44, 56 or 110 in the paper.
    width : int
        Channels of the first stage; 16 in the paper.

    Raises
    ------
    UserError
        The depth is not ``6 n + 2``.

    Examples
    --------
    >>> network = ResNetCifar(classes=10, depth=20)
    >>> sum(weight.numel() for weight in network.parameters())
    269722
    >>> network(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    References
    ----------
    [1] He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016 (section 4.2).
    """

    published: ClassVar[Mapping[str, str]] = {
        r"^conv1\.": "stem.0.",
        r"^bn1\.": "stem.1.",
        r"^layer(\d)\.": r"stage\1.",
        r"\.bn(\d)\.": r".norm\1.",
        r"^linear\.": "head.",
    }
    """Names of the weights that Idelbayev's reproduction of the paper published, as patterns, and ours."""

    def __init__(self, classes: int, channels: int = 3, depth: int = 20, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise UserError(f"Expected a depth of 6 n + 2, but got {depth}. Pass 8, 20, 32, 44, 56 or 110.")
        n = (depth - 2) // 6
        self.stem = nn.Sequential(_convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = _stage(width, width, n)
        self.stage2 = _stage(width, 2 * width, n)
        self.stage3 = _stage(2 * width, 4 * width, n)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


class _Residual(nn.Module):
    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__()
        self.stride = 1 if wide_in == wide_out else 2
        self.new = wide_out - wide_in
        self.conv1 = _convolution(wide_in, wide_out, self.stride)
        self.norm1 = nn.BatchNorm2d(wide_out)
        self.conv2 = _convolution(wide_out, wide_out)
        self.norm2 = nn.BatchNorm2d(wide_out)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self._shortcut(x) + residual)

    def _shortcut(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))


def _stage(wide_in: int, wide_out: int, n: int) -> nn.Sequential:
    return nn.Sequential(_Residual(wide_in, wide_out), *(_Residual(wide_out, wide_out) for _ in range(n - 1)))


def _convolution(wide_in: int, wide_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 3, stride=stride, padding=1, bias=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
