"""Pictures that are small enough for a small network."""

from __future__ import annotations

from torch import Tensor, nn


def at_most(side: int, x: Tensor) -> Tensor:
    """Pictures [n, c, h, w] averaged down until neither edge has more than ``side`` pixels; other rows as they are.

    Examples
    --------
    >>> import torch
    >>> at_most(2, torch.arange(16.0).reshape(1, 1, 4, 4)).flatten()
    tensor([ 2.5000,  4.5000, 10.5000, 12.5000])
    >>> at_most(2, torch.ones(3, 5)).shape
    torch.Size([3, 5])
    """
    if x.ndim != 4 or max(x.shape[2:]) <= side:
        return x
    height, width = (min(edge, side) for edge in x.shape[2:])
    return nn.functional.adaptive_avg_pool2d(x, (height, width))
