"""Row by row in pieces, so that what lies between input and score stays small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CELLS = 1 << 24
"""Numbers that a piece may hold in between."""


def in_pieces(score: Callable[..., Tensor], width: int, *rows: Tensor) -> Tensor:
    """``score(*rows)`` computed on pieces of the rows, each of at most ``CELLS / width`` rows.

    Examples
    --------
    >>> in_pieces(lambda a, b: (a * b).sum(1), 4, torch.ones(3, 2), torch.full((3, 2), 2.0))
    tensor([4., 4., 4.])
    """
    size = max(1, CELLS // max(1, width))
    if len(rows[0]) <= size:
        return score(*rows)
    return torch.cat([score(*pieces) for pieces in zip(*(torch.split(values, size) for values in rows), strict=True)])
