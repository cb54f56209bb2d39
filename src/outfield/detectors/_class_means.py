"""Means of the rows that the model predicts right: what SHE and OpenMax share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.folds import Fold
from outfield.types import Outputs

_ROWS = 2048
"""Rows that are widened to float64 at a time."""


@dataclass(frozen=True)
class MeansOfRight(Fold[Tensor, Tensor]):
    """Mean features, or logits, of the rows of each class that are predicted right, [C, width], in float64.

    Sums carry their count in the last column; those of rows that are predicted wrong are in the last row.

    Raises
    ------
    UserError
        By ``finish``, where no row of a class is predicted right.

    Examples
    --------
    >>> out = Outputs(logits=torch.eye(2), features=torch.tensor([[3.0], [5.0]]), labels=torch.tensor([0, 1]))
    >>> fold = MeansOfRight("features")
    >>> fold.finish(fold.update(fold.start(out), out, first=0))
    tensor([[3.],
            [5.]], dtype=torch.float64)
    """

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "features", "labels")

    of: Literal["features", "logits"]

    def start(self, like: Outputs) -> Tensor:
        shape = like.logits.shape[1] + 1, getattr(like, self.of).shape[1] + 1
        return torch.zeros(shape, dtype=torch.float64, device=like.logits.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        places = torch.where(chunk.logits.argmax(1) == chunk.labels, chunk.labels, len(total) - 1)
        total[:, -1] += torch.bincount(places, minlength=len(total))
        for values, place in zip(getattr(chunk, self.of).split(_ROWS), places.split(_ROWS), strict=True):
            total[:, :-1].index_add_(0, place, values.double())
        return total

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        total = total[:-1]
        if absent := torch.nonzero(total[:, -1] == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class that the model predicts right, but class "
                f"{', '.join(map(str, absent))} has none. Train the model further, or choose another detector."
            )
        return total[:, :-1] / total[:, -1:]
