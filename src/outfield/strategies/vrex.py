from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._domains import Penalised, by_domain, head_of
from outfield.types import Batch


@dataclass(frozen=True)
class VREx(Penalised):
    """Domains are to have equal risks: the mean of their losses plus ``weight`` times their variance [1].

    Parameters
    ----------
    weight : float
        beta of the paper.
    warm_up : float
        Share of the steps without the penalty.

    Examples
    --------
    >>> batch = Batch(torch.zeros(2, 3), torch.eye(3)[:2], groups=torch.tensor([0, 1]))
    >>> VREx().penalty(nn.Linear(3, 3), batch.x, batch).item() >= 0
    True

    References
    ----------
    [1] Krueger, Caballero, Jacobsen, Zhang, Binas, Zhang, Le Priol, Courville. Out-of-Distribution Generalization via
    Risk Extrapolation. ICML 2021.
    """

    weight: float = 10.0

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        losses = [functional.cross_entropy(z, y) for z, y in by_domain(head_of(network)(features), batch)]
        return torch.stack(losses).var(correction=0)
