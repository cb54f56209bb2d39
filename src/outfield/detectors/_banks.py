"""Banks of neighbours: how large they are by the papers' rules, and how their rows are kept."""

from __future__ import annotations

from torch import Tensor

from outfield.features.moments import unit
from outfield.features.rows import Rows

_LARGE = 100_000
"""Rows beyond which the papers take a hundredth of the training set."""


def share_of(rows: int) -> float:
    """All rows of a small training set, one in a hundred of a large one.

    Examples
    --------
    >>> share_of(50_000), share_of(1_281_167)
    (1.0, 0.01)
    """
    return 1.0 if rows <= _LARGE else 0.01


def as_bank(rows: Rows) -> Tensor:
    """Rows for a state: of length one; or as they are where they are stored in half precision, for half the memory.

    Examples
    --------
    >>> import torch
    >>> as_bank(Rows({"features": torch.tensor([[3.0, 4.0]])}))
    tensor([[0.6000, 0.8000]])
    >>> as_bank(Rows({"features": torch.tensor([[3.0, 4.0]]).half()}))
    tensor([[3., 4.]], dtype=torch.float16)
    """
    features = rows["features"]
    return features if features.element_size() < _WIDE else unit(features)


def on_sphere(bank: Tensor, like: Tensor) -> Tensor:
    """The rows of a bank with length one, as wide as the features that they meet.

    Examples
    --------
    >>> import torch
    >>> on_sphere(torch.tensor([[3.0, 4.0]]).half(), torch.zeros(1))
    tensor([[0.6000, 0.8000]])
    """
    return bank if bank.element_size() >= _WIDE else unit(bank.to(like.dtype))


_WIDE = 4
"""Bytes of a number from which it is not half precision."""
