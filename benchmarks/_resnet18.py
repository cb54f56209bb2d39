"""The residual network of 18 layers for 32 x 32 inputs: 64 to 512 channels in four stages, 11.2 million weights."""

from __future__ import annotations

from torch import Tensor, nn


class ResNet18(nn.Module):
    """He et al., 2016, with a 3 x 3 stem that keeps the side, as small pictures need."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _normed(3, 64, 3, 1)
        self.stage1 = nn.Sequential(_Block(64, 64, 1), _Block(64, 64, 1))
        self.stage2 = nn.Sequential(_Block(64, 128, 2), _Block(128, 128, 1))
        self.stage3 = nn.Sequential(_Block(128, 256, 2), _Block(256, 256, 1))
        self.stage4 = nn.Sequential(_Block(256, 512, 2), _Block(512, 512, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.stage1(self.stem(x).relu()))
        x = self.pool(self.stage4(self.stage3(x)))
        logits: Tensor = self.head(x.flatten(1))
        return logits


class _Block(nn.Module):
    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.first = _normed(wide_in, wide_out, 3, stride)
        self.second = _normed(wide_out, wide_out, 3, 1)
        same = wide_in == wide_out and stride == 1
        self.shortcut = nn.Identity() if same else _normed(wide_in, wide_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x).relu()) + self.shortcut(x)).relu()


def _normed(wide_in: int, wide_out: int, side: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(wide_in, wide_out, side, stride=stride, padding=side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide_out))
