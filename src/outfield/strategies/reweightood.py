from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._contrast import Contrastive
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ReweightOOD(Contrastive):
    """A contrastive loss over all pairs, in which those count most that are not yet where they should be [1].

    With the cosine s of each pair of projections, ``ELU(log sum_same exp(-w s / T) + log sum_other exp(v s / T))``.
    The weights ``w = sigmoid(within_shift - within_slope s)`` and ``v = sigmoid(between_slope s - between_shift)`` pass
    no gradient. Afterwards a linear head is fitted to the frozen features.

    Parameters
    ----------
    temperature : float
    within_slope, within_shift, between_slope, between_shift : float
        m_w, c_w, m_b, c_b of the paper: 2, 1, 5, 4.
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.

    Examples
    --------
    >>> apart, together = torch.eye(2).repeat(2, 1), torch.ones(4, 2)
    >>> labels = torch.tensor([0, 1, 0, 1])
    >>> bool(ReweightOOD().of(apart, labels) < ReweightOOD().of(together, labels))
    True

    References
    ----------
    [1] Regmi, Panthi, Ming, Gyawali, Stoyanov, Bhattarai. ReweightOOD: Loss Reweighting for Distance-based OOD
    Detection. CVPR Workshops 2024.
    """

    temperature: float = 0.1
    projection: int = 64
    crop: float = 0.8
    within_slope: float = 2.0
    within_shift: float = 1.0
    between_slope: float = 5.0
    between_shift: float = 4.0

    limits: ClassVar = {
        **Contrastive.limits,
        **dict.fromkeys(("within_slope", "within_shift", "between_slope", "between_shift"), (0.0, 1000.0)),
    }

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return self.of(network(batch.x), batch.targets.argmax(1).repeat(2))

    def of(self, projections: Tensor, labels: Tensor) -> Tensor:
        """The loss of projections [m, d] with their labels [m]."""
        z = functional.normalize(projections, dim=1)
        first, second = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
        cosines, same = (z @ z.T)[first, second], labels[first] == labels[second]
        within, between = cosines[same], cosines[~same]
        pull = (self.within_shift - self.within_slope * within.detach()).sigmoid()
        push = (self.between_slope * between.detach() - self.between_shift).sigmoid()
        near, far = -pull * within / self.temperature, push * between / self.temperature
        return functional.elu(near.logsumexp(0) + (far.logsumexp(0) if len(far) else far.sum()))
