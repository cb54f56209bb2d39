"""Activation mass: what ASH, SCALE, LTS and AdaSCALE share."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def kept(dim: int, percentile: float) -> int:
    """How many of ``dim`` activations lie above a percentile, ``D - round(D p / 100)``, at least one.

    Examples
    --------
    >>> kept(512, 90), kept(4, 99)
    (51, 1)
    """
    dim = int(dim)  # while a graph is traced, sizes are tensors
    return max(1, dim - round(dim * percentile / 100))


def ratio(features: Tensor, k: int) -> Tensor:
    """``r = sum relu(f) / sum of its k largest``, [n, 1]; one where there is no mass.

    Examples
    --------
    >>> ratio(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), 1).flatten()
    tensor([1.3333, 1.0000])
    """
    mass = positive(features)
    return _divided(mass.sum(1, keepdim=True), mass.topk(k, dim=1).values.sum(1, keepdim=True))


def positive(features: Tensor) -> Tensor:
    """``relu(f)``, with a warning where that drops more than 1% of the mass."""
    mass = features.relu()
    dropped = mass.sum() - features.sum()
    if dropped > 0.01 * (mass.sum() + dropped):
        warnings.warn(
            "More than 1% of the activation mass is negative: activation shaping was made for features after a ReLU, "
            "and reads only their positive part here.",
            stacklevel=2,
        )
    return mass


def _divided(total: Tensor, top: Tensor) -> Tensor:
    return torch.where(top > 0, total / top.clamp(min=torch.finfo(top.dtype).tiny), 1.0)
