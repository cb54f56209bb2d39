from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SvddLeNet(nn.Module):
    """LeNet for one-class learning [1, 2]: up to its head it has no bias, since one could answer the centre to all.

    Two convolutions of 5 x 5, each with normalisation without scale and shift, leaky ReLU and pooling; one hidden
    layer; the representation; a linear head.

    Parameters
    ----------
    classes : int
        Outputs of the head.
    channels : int
        Of the pictures.
    width : int
        Channels of the first convolution; the second has twice as many.
    hidden, representation : int
        Units of the hidden layer and of the representation.

    Examples
    --------
    >>> import torch
    >>> network = SvddLeNet(classes=2)
    >>> network(torch.rand(3, 1, 32, 32)).shape, network.head.in_features
    (torch.Size([3, 2]), 64)

    References
    ----------
    [1] Ruff et al. Deep One-Class Classification. ICML 2018.
    [2] Bauw et al. Near out-of-distribution detection for low-resolution radar micro-Doppler signatures. 2022.
    """

    def __init__(
        self, classes: int, channels: int = 1, width: int = 16, hidden: int = 128, representation: int = 64
    ) -> None:
        super().__init__()
        self.block1, self.block2 = _block(channels, width), _block(width, 2 * width)
        self.pool = nn.AdaptiveAvgPool2d(8)
        self.hidden = nn.Linear(128 * width, hidden, bias=False)
        self.normal = nn.BatchNorm1d(hidden, eps=1e-4, affine=False)
        self.representation = nn.Linear(hidden, representation, bias=False)
        self.head = nn.Linear(representation, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.block2(self.block1(x))).flatten(1)
        logits: Tensor = self.head(self.representation(functional.leaky_relu(self.normal(self.hidden(x)))))
        return logits


def _block(wide_in: int, wide_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(wide_in, wide_out, 5, padding=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide_out, eps=1e-4, affine=False), nn.LeakyReLU(), nn.MaxPool2d(2))
