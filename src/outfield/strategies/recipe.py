from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies import _mixing, _pictures
from outfield.strategies.ema import EMA
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Recipe(EMA):
    """The combined recipe [1]: TrivialAugment [2], random erasing, MixUp or CutMix, label smoothing, averaged weights.

    Each batch is mixed in one of the two ways, by chance. The average is exponential, of weights and batch
    statistics, and is updated after each step.

    Parameters
    ----------
    mixup, cutmix : float
        alpha of each.
    erasing : float
        Share of the pictures that get a box of noise.
    smoothing : float
        Label smoothing.
    decay : float
        Weight of the past in the running average; 1 / (1 - decay) steps are remembered.

    Examples
    --------
    >>> Recipe(decay=0.9).params["decay"]
    0.9

    References
    ----------
    [1] Vryniotis. How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives. PyTorch blog, 2021.
    [2] Müller, Hutter. TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation. ICCV 2021.
    """

    mixup: float = 0.2
    cutmix: float = 1.0
    erasing: float = 0.1
    smoothing: float = 0.1
    decay: float = 0.95

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {
        "mixup": (1e-3, 1000.0),
        "cutmix": (1e-3, 1000.0),
        "erasing": (0.0, 1.0),
        "smoothing": (0.0, 1.0),
        "decay": (0.0, 1.0),
    }

    def augment(self, x: Tensor) -> Tensor:
        x = super().augment(x)
        x = _pictures.one_of(_pictures.ALL, x, _pictures.random_strengths(x))
        return _pictures.erased(x, self.erasing)

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        batch = super().batch(network, batch, task)
        return _mixing.mixup(batch, self.mixup) if torch.rand(()) < 0.5 else _mixing.cutmix(batch, self.cutmix)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return functional.cross_entropy(network(batch.x), batch.targets, label_smoothing=self.smoothing)
