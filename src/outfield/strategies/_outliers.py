"""What strategies share that learn from outliers beside the training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class WithOutliers(PictureStrategy):
    """The baseline with a batch of outliers beside each batch, ``ratio`` times as large, augmented alike.

    Both are answered in one forward pass, so that batch statistics are those of ID items and outliers together.
    """

    ratio: float = 1.0

    family: ClassVar[str] = "outlier exposure"
    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"ratio": (0.01, 100.0)}

    def check(self, data: Batch) -> None:
        super().check(data)
        for role in self.streams:
            super().check(data.streams[role])
            like_training(role, data.streams[role].x, data.x)

    def stream_size(self, role: str) -> int:
        return max(1, round(self.ratio * self.batch_size))

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        changed = {role: replace(one, x=self.augment(one.x)) for role, one in batch.streams.items()}
        return replace(super().batch(network, batch, task), streams=changed)


def like_training(role: str, stream: Tensor, train: Tensor) -> None:
    """``UserError`` where pictures of a stream have another shape than those of the training set."""
    if stream.shape[1:] != train.shape[1:]:
        raise UserError(
            f"Expected {role} of the shape {list(train.shape[1:])}, as the training pictures have, but got "
            f"{list(stream.shape[1:])}. Give the source of the stream the same size and channels."
        )


def answers(network: nn.Module, batch: Batch, role: str = "outliers") -> tuple[Tensor, Tensor]:
    """Logits of a batch and of a stream of it, from one forward pass.

    Examples
    --------
    >>> batch = Batch(torch.ones(2, 3), streams={"outliers": Batch(torch.zeros(4, 3))})
    >>> [list(logits.shape) for logits in answers(nn.Linear(3, 5), batch)]
    [[2, 5], [4, 5]]
    """
    logits: Tensor = network(torch.cat([batch.x, batch.streams[role].x]))
    inside, outside = logits.split([len(batch.x), len(batch.streams[role].x)])
    return inside, outside
