from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies._losses import energy, soft_cross_entropy, squared_hinge
from outfield.strategies._outliers import WithOutliers, answers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class EnergyExposure(WithOutliers):
    """Outliers are to have high energy and ID items low energy, each beyond a margin [1].

    ``CE(x, y) + weight * (mean max(0, E(x) - inside)^2 + mean max(0, outside - E(outlier))^2)`` with the free energy
    ``E = -log sum_c exp z_c``.

    Parameters
    ----------
    weight : float
        0.1 in the paper.
    inside, outside : float
        The energy that ID items are to stay below, and outliers above: -23 and -5 in the paper on CIFAR-10. They are
        set to where a network's energies lie before it is tuned.
    ratio : float
        Outliers a step, over the batch size; 2 in the paper.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.zeros(1, 2), torch.eye(2)[:1], streams={"outliers": Batch(torch.zeros(1, 2))})
    >>> EnergyExposure(weight=1.0, inside=0.0, outside=0.0).loss(nn.Identity(), batch, Classify(classes=2)).item()
    1.173...

    References
    ----------
    [1] Liu, Wang, Owens, Li. Energy-based Out-of-distribution Detection. NeurIPS 2020.
    """

    weight: float = 0.1
    inside: float = -23.0
    outside: float = -5.0
    ratio: float = 2.0

    limits: ClassVar = {**WithOutliers.limits, "weight": (0.0, 100.0), "inside": (-1e4, 1e4), "outside": (-1e4, 1e4)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        inside, outside = answers(network, batch)
        margins = squared_hinge(energy(inside) - self.inside) + squared_hinge(self.outside - energy(outside))
        return soft_cross_entropy(inside, batch.targets) + self.weight * margins
