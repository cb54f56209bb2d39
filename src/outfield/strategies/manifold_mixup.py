from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies import _mixing
from outfield.strategies._blocks import blocks, changed
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ManifoldMixUp(PictureStrategy):
    """Mixtures of what a block passes on, and of the targets; the input or a block, drawn for each step [1].

    Parameters
    ----------
    alpha : float
        Of ``lambda ~ Beta(alpha, alpha)``: 2 in the paper.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))
    >>> ManifoldMixUp().loss(network, Batch(torch.rand(5, 4), torch.eye(5, 4)), Classify(classes=4)).isfinite()
    tensor(True)

    References
    ----------
    [1] Verma, Lamb, Beckham, Najafi, Mitliagkas, Lopez-Paz, Bengio. Manifold Mixup: Better Representations by
    Interpolating Hidden States. ICML 2019.
    """

    alpha: float = 2.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        places = blocks(network)
        place, share = int(torch.randint(len(places) + 1, ())), _mixing.beta(self.alpha)
        partner = torch.randperm(len(batch), device=batch.x.device)

        def mixed(values: Tensor) -> Tensor:
            return torch.lerp(values[partner], values, share)

        if place == len(places):
            logits = network(mixed(batch.x))
        else:
            with changed(places[place], mixed):
                logits = network(batch.x)
        return functional.cross_entropy(logits, mixed(batch.targets))
