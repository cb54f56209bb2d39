from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Four convolution blocks and a linear head, for pictures of 8 to 64 pixels a side.

    Each block is a 3 x 3 convolution, batch normalisation and ReLU; its running statistics remember some three
    steps, since runs are short. The stem halves the side; so does the
    pooling after ``block1``. The features are the channel means of ``block3``: ``4 * width`` values, none negative.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    channels : int
        Channels of the pictures: 1 (grey) or 3 (colour).
    width : int
        Channels of the stem; ``block1`` has as many, ``block2`` two and ``block3`` four times as many.

    Examples
    --------
    >>> import torch
    >>> network = SmallCNN(classes=8)
    >>> network(torch.rand(2, 1, 16, 16)).shape, network.head.in_features
    (torch.Size([2, 8]), 64)
    """

    def __init__(self, classes: int, channels: int = 1, width: int = 16) -> None:
        super().__init__()
        self.stem = _block(channels, width, stride=2)
        self.block1 = _block(width, width)
        self.block2 = _block(width, 2 * width)
        self.block3 = _block(2 * width, 4 * width)
        self.shrink = nn.MaxPool2d(2, ceil_mode=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(self.block1(self.stem(x)))
        x = self.pool(self.block3(self.block2(x)))
        logits: Tensor = self.head(x.flatten(1))
        return logits


def _block(wide_in: int, wide_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(wide_in, wide_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide_out, momentum=0.3), nn.ReLU())
