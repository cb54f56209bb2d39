from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies._losses import evenness, soft_cross_entropy
from outfield.strategies._outliers import WithOutliers, answers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class OutlierExposure(WithOutliers):
    """Outliers are to be answered evenly: ``CE(x, y) + weight * CE(outlier, uniform)`` [1].

    The stream ``outliers`` must not hold what is tested as OOD: then the test says nothing of other OOD inputs.

    Parameters
    ----------
    weight : float
        0.5 in the paper.
    ratio : float
        Outliers a step, over the batch size; 2 in the paper.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.zeros(1, 2), torch.eye(2)[:1], streams={"outliers": Batch(torch.zeros(3, 2))})
    >>> OutlierExposure(weight=0.5).loss(nn.Identity(), batch, Classify(classes=2)).item()  # 1.5 log 2
    1.039...

    References
    ----------
    [1] Hendrycks, Mazeika, Dietterich. Deep Anomaly Detection with Outlier Exposure. ICLR 2019.
    """

    weight: float = 0.5
    ratio: float = 2.0

    limits: ClassVar = {**WithOutliers.limits, "weight": (0.0, 100.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        inside, outside = answers(network, batch)
        return soft_cross_entropy(inside, batch.targets) + self.weight * evenness(outside)
