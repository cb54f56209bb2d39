from __future__ import annotations

import torch
from torch import Tensor, nn


class MazeCNN(nn.Module):
    """A recurrent convolutional reader of pictures of mazes, that answers at the origin.

    The stem sees each cell with its four walls, and gives a map with a place for each cell. One block is then applied
    ``steps`` times, the stem's map beside it, as in networks that think deeper [1]. The features are the block's values
    at the green cell, whatever the size of the picture.

    Parameters
    ----------
    classes : int
    width : int
    steps : int
        How often the block is applied: how many cells far it sees.

    Examples
    --------
    >>> pictures = torch.zeros(2, 3, 11, 11)
    >>> pictures[:, 1, 1, 3] = 1.0
    >>> MazeCNN(classes=4)(pictures).shape
    torch.Size([2, 4])

    References
    ----------
    [1] Bansal et al. End-to-end Algorithm Synthesis with Recurrent Networks: Logical Extrapolation Without
        Overthinking. NeurIPS 2022.
    """

    def __init__(self, classes: int, width: int = 48, steps: int = 12) -> None:
        super().__init__()
        self.steps = steps
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.ReLU())
        self.mix = nn.Conv2d(2 * width, width, 3, padding=1)
        self.think = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def extra_repr(self) -> str:
        return f"steps={self.steps}"

    def forward(self, x: Tensor) -> Tensor:
        seen = self.stem(x)
        thought = seen
        for _ in range(self.steps):
            mixed = self.mix(torch.cat([thought, seen], dim=1)).relu()
            thought = (thought + self.think(mixed)).relu()
        answer: Tensor = self.head(_at_origin(thought, x))
        return answer


def _at_origin(maps: Tensor, x: Tensor) -> Tensor:
    """Values [n, width] of maps [n, width, side, side] at the green cells of pictures."""
    red, green, blue = x[:, :, 1::2, 1::2].unbind(1)
    here = ((green > 0.5) & (red < 0.5) & (blue < 0.5)).to(maps)[:, None]
    return (maps * here).sum((2, 3)) / here.sum((2, 3)).clamp(min=1.0)
