"""Cosines of features and class weights: what Cosine and MCM share."""

from __future__ import annotations

from torch import Tensor

from outfield.features.moments import unit
from outfield.types import Outputs


def cosines(out: Outputs) -> Tensor:
    """``cos(f, w_c)``, [n, C].

    Examples
    --------
    >>> import torch
    >>> from outfield.types import Head
    >>> head = Head(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.zeros(2))
    >>> cosines(Outputs(features=torch.tensor([[3.0, 4.0]]), head=head))
    tensor([[0.6000, 0.8000]])
    """
    return unit(out.features) @ unit(out.head.weight.to(out.features.dtype)).T
