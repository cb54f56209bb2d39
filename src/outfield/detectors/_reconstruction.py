"""Error of rebuilding a row from principal components: what CoP and CoRP share."""

from __future__ import annotations

from torch import Tensor


def error(rows: Tensor, basis: Tensor) -> Tensor:
    """``|(I - U U^T) v|`` of centred rows [n, D], as ``sqrt(|v|^2 - |U^T v|^2)``.

    Examples
    --------
    >>> import torch
    >>> error(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]]))
    tensor([4.])
    """
    return (rows.square().sum(1) - (rows @ basis).square().sum(1)).clamp(min=0).sqrt()
