from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outfield.strategies._domains import Penalised, by_domain, head_of
from outfield.types import Batch


@dataclass(frozen=True)
class IRM(Penalised):
    """One head is to be best in every domain at once: invariant risk minimisation, version 1 [1].

    The penalty is the mean over domains of ``(d/dw CE(w z, y) at w = 1)^2``, the squared slope of the domain's loss
    when all logits are scaled.

    Parameters
    ----------
    weight : float
        lambda of the paper.
    warm_up : float
        Share of the steps without the penalty.

    Examples
    --------
    >>> logits = torch.tensor([[1.0, -1.0]])
    >>> scale_slope(logits, torch.eye(2)[:1]).item()  # sum_c (p_c - y_c) z_c
    -0.238...

    References
    ----------
    [1] Arjovsky, Bottou, Gulrajani, Lopez-Paz. Invariant Risk Minimization. arXiv 1907.02893, 2019.
    """

    weight: float = 10.0

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        slopes = [scale_slope(z, y) for z, y in by_domain(head_of(network)(features), batch)]
        return torch.stack(slopes).square().mean()


def scale_slope(logits: Tensor, targets: Tensor) -> Tensor:
    """``d/dw mean CE(w z, y)`` at w = 1, which is ``mean sum_c (p_c - y_c) z_c``."""
    return ((logits.softmax(1) - targets) * logits).sum(1).mean()
