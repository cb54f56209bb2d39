"""What strategies share that turn pictures by quarters."""

from __future__ import annotations

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.types import Batch


def turned(x: Tensor) -> Tensor:
    """The pictures, then the same turned by 90, 180 and 270 degrees, [4 n, C, H, W].

    Examples
    --------
    >>> turned(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).flatten(1).tolist()
    [[1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 1.0, 3.0], [4.0, 3.0, 2.0, 1.0], [3.0, 1.0, 4.0, 2.0]]
    """
    return torch.cat([torch.rot90(x, quarter, (2, 3)) for quarter in range(4)])


def check_square(data: Batch, strategy: str) -> None:
    """``UserError`` for pictures that are not as high as they are wide."""
    if data.x.shape[2] != data.x.shape[3]:
        raise UserError(
            f"Expected square pictures for {strategy}, but got {list(data.x.shape[2:])}. Crop or scale them."
        )
