from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.strategies.base import PictureStrategy


@dataclass(frozen=True)
class Baseline(PictureStrategy):
    """Cross-entropy, SGD with momentum, shifted pictures: what every other strategy is compared with.

    Examples
    --------
    >>> import torch
    >>> from outfield.registry import create
    >>> from outfield.strategies import train
    >>> from outfield.tasks.classify import Classify
    >>> from outfield.types import Batch
    >>> data = Batch(torch.rand(8, 1, 16, 16), torch.arange(8) % 2)
    >>> steps = []
    >>> network = train(
    ...     Baseline(epochs=1, batch_size=4), lambda: create("networks", "small_cnn", classes=2), data,
    ...     Classify(classes=2), seed=0, report=lambda done, total: steps.append((done, total)),
    ... )
    >>> steps
    [(1, 2), (2, 2)]
    """

    family: ClassVar[str] = "baseline"
