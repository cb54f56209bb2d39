from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import Accompanied, with_parts
from outfield.strategies._rotations import check_square, turned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Rotation(Accompanied):
    """Beside its class, a picture's rotation by 0, 90, 180 or 270 degrees is to be told, by a head of its own [1].

    Cross-entropy of the class on upright pictures, plus ``weight`` times that of the rotation on all four of each.

    Parameters
    ----------
    weight : float
        0.5 in the paper.

    Examples
    --------
    >>> Rotation().parts(features=8, classes=3)["rotation"]
    Linear(in_features=8, out_features=4, bias=True)

    References
    ----------
    [1] Hendrycks, Mazeika, Kadavath, Song. Using Self-Supervised Learning Can Improve Model Robustness and
    Uncertainty. NeurIPS 2019.
    """

    weight: float = 0.5

    family: ClassVar[str] = "self-supervised"
    limits: ClassVar = {"weight": (0.0, 1000.0)}

    def check(self, data: Batch) -> None:
        super().check(data)
        check_square(data, "Rotation")

    def parts(self, features: int, classes: int) -> dict[str, nn.Module]:
        return {"rotation": nn.Linear(features, 4)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        features = _heads.features(network, turned(batch.x))
        logits = last_linear(network)[1](features[: len(batch)])
        angles = torch.arange(4, device=batch.x.device).repeat_interleave(len(batch))
        told = functional.cross_entropy(with_parts(network).parts["rotation"](features), angles)
        return functional.cross_entropy(logits, batch.targets) + self.weight * told
