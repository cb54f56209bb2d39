"""The contrastive loss that SupCon and SimCLR share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(projections: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Mean over anchors i of ``-1/|P(i)| sum_{p in P(i)} log softmax_{a != i}(z_i z_a / T)_p``.

    ``projections`` [m, d] are brought to length 1; ``P(i)`` holds the others of the same group.
    """
    z = functional.normalize(projections, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity.log_softmax(dim=1).masked_fill(itself, 0)
    positive = (groups[:, None] == groups) & ~itself
    return -(log_share * positive).sum(1).div(positive.sum(1)).mean()
