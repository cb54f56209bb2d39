from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from outfield.strategies._domains import Penalised, domains, head_gradients, head_of, spread
from outfield.types import Batch


@dataclass(frozen=True)
class Fishr(Penalised):
    """The gradients of single items are to vary alike in every domain [1].

    The penalty is the mean over domains of ``|v_d - mean v|^2``, with v_d the variance, entry by entry, of the head's
    gradient over the items of a domain. The paper averages v_d over steps; here it is the step's.

    Parameters
    ----------
    weight : float
        lambda of the paper.
    warm_up : float
        Share of the steps without the penalty.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.randn(8, 3), torch.eye(2)[[0, 1] * 4], groups=torch.tensor([0] * 4 + [1] * 4))
    >>> Fishr().penalty(nn.Linear(3, 2), batch.x, batch).item() >= 0
    True

    References
    ----------
    [1] Rame, Dancette, Cord. Fishr: Invariant Gradient Variances for Out-of-distribution Generalization. ICML 2022.
    """

    weight: float = 1000.0

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        gradients = head_gradients(head_of(network)(features), batch.targets, features)
        return spread([gradients[rows].var(dim=0, correction=0) for rows in domains(batch)])
