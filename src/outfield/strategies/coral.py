from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn

from outfield.strategies._domains import Penalised, domains
from outfield.types import Batch


@dataclass(frozen=True)
class CORAL(Penalised):
    """Features are to have the same mean and covariance in every domain [1].

    The penalty is the mean over pairs of domains of ``mean (m_a - m_b)^2 + mean (C_a - C_b)^2``, entries' means.

    Parameters
    ----------
    weight : float
    warm_up : float
        Share of the steps without the penalty.

    Examples
    --------
    >>> features, groups = torch.tensor([[0.0], [2.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    >>> batch = Batch(features, torch.eye(2)[[0, 1, 0, 1]], groups)
    >>> CORAL().penalty(nn.Identity(), batch.x, batch).item()  # equal variances, means 1 and 6
    25.0

    References
    ----------
    [1] Sun, Saenko. Deep CORAL: Correlation Alignment for Deep Domain Adaptation. ECCV Workshops 2016.
    """

    weight: float = 1.0

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        moments = [_moments(features[rows]) for rows in domains(batch)]
        gaps = [sum(((a - b).square().mean() for a, b in zip(one, other, strict=True)), features.new_zeros(()))
                for one, other in combinations(moments, 2)]  # fmt: skip
        return torch.stack(gaps).mean() if gaps else features.sum() * 0


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / max(1, len(features) - 1)
