from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from outfield.errors import UserError


class MLP(nn.Module):
    """A perceptron of rows of numbers [n, D]: each column standardised, hidden layers with ReLU, a linear head.

    The columns' means and variances are those of the training batches (batch normalisation without weights).

    Parameters
    ----------
    classes : int
        Outputs: classes, or numbers to predict.
    columns : int
        D.
    hidden : sequence of int
        Width of each hidden layer; the last is that of the features.

    Examples
    --------
    >>> import torch
    >>> MLP(classes=1, columns=10).eval()(torch.zeros(3, 10)).shape
    torch.Size([3, 1])
    """

    items: ClassVar[str] = "rows"

    def __init__(self, classes: int, columns: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1 or columns < 1:
            raise UserError(f"Expected columns and hidden layers of at least 1, but got {columns} and {list(hidden)}.")
        widths = [columns, *hidden]
        self.standardise = nn.BatchNorm1d(columns, affine=False)
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in zip(widths, hidden, strict=False)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [n, classes] of rows [n, D]."""
        features: Tensor = self.layers(self.standardise(x))
        outputs: Tensor = self.head(features)
        return outputs
