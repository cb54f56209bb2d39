"""Softmax in float64 without ties: where a model is sure, one minus a probability is a sum of the others."""

from __future__ import annotations

from torch import Tensor


def others(logits: Tensor) -> Tensor:
    """``1 - max_c p_c`` [n], exact where it is far below the precision of ``max_c p_c``.

    Examples
    --------
    >>> import torch
    >>> others(torch.tensor([[60.0, 0.0]]))
    tensor([8.7565e-27], dtype=torch.float64)
    """
    _, rest = ratios_to_top(logits)
    return rest / (1 + rest)


def ratios_to_top(logits: Tensor) -> tuple[Tensor, Tensor]:
    """``p_c / p_top`` with zero at the top, [n, C], and the sum of these, [n], in float64."""
    wide = logits.double()
    top = wide.max(dim=1, keepdim=True)
    ratios = (wide - top.values).exp().scatter_(1, top.indices, 0.0)
    return ratios, ratios.sum(1)
