from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.strategies import _mixing, _pictures
from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies._outliers import WithOutliers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class MixOE(WithOutliers):
    """Confidence is to fall evenly from ID items to outliers, along mixtures of the two [1].

    ``CE(x, y) + weight * CE(m, q)`` with ``m = lambda x + (1 - lambda) outlier`` (``mixup``), or with a box of the
    outlier pasted into x (``cutmix``), and the target ``q = lambda y + (1 - lambda) / C``; ``lambda ~ Beta(alpha,
    alpha)``, one draw a batch.

    Parameters
    ----------
    weight : float
        beta of the paper, 5.
    alpha : float
        1 in the paper.
    mixture : {"mixup", "cutmix"}

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.zeros(4, 1, 8, 8), torch.eye(4), streams={"outliers": Batch(torch.ones(4, 1, 8, 8))})
    >>> mixed = MixOE(shift=0).batch(nn.Identity(), batch, Classify()).streams["mixtures"]
    >>> share = 1 - mixed.x.mean()  # of the ID picture, black here
    >>> torch.allclose(mixed.targets, share * torch.eye(4) + (1 - share) / 4, atol=1e-6)
    True

    References
    ----------
    [1] Zhang, Inkawhich, Linderman, Chen, Li. Mixture Outlier Exposure: Towards Out-of-Distribution Detection in
    Fine-grained Environments. WACV 2023.
    """

    weight: float = 5.0
    alpha: float = 1.0
    mixture: Literal["mixup", "cutmix"] = "mixup"

    limits: ClassVar = {**WithOutliers.limits, "weight": (0.0, 100.0), "alpha": (1e-3, 1000.0), "ratio": (1.0, 1.0)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mixture not in ("mixup", "cutmix"):
            raise UserError(f"Expected the mixture mixup or cutmix of MixOE, but got {self.mixture!r}. Choose one.")

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        batch = super().batch(network, batch, task)
        outliers = batch.streams["outliers"].x
        n = min(len(batch), len(outliers))
        mixed = self.mixed(batch[:n].x, batch[:n].targets, outliers[:n])
        return Batch(batch.x, batch.y, batch.groups, batch.rows, streams={"mixtures": mixed})

    def mixed(self, x: Tensor, y: Tensor, outliers: Tensor) -> Batch:
        """Mixtures of items and outliers, with their targets."""
        share = _mixing.beta(self.alpha)
        even = torch.full_like(y, 1 / y.shape[1])
        if self.mixture == "mixup":
            return Batch(torch.lerp(outliers, x, share), torch.lerp(even, y, share))
        box = _pictures.boxes(x, torch.full((len(x),), 1 - share, device=x.device))
        pasted = box.float().mean((1, 2, 3))[:, None]
        return Batch(torch.where(box, outliers, x), torch.lerp(y, even, pasted))

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        mixtures = batch.streams["mixtures"]
        logits: Tensor = network(torch.cat([batch.x, mixtures.x]))
        inside, between = logits.split([len(batch.x), len(mixtures.x)])
        return soft_cross_entropy(inside, batch.targets) + self.weight * soft_cross_entropy(between, mixtures.targets)
