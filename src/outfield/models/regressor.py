"""A network whose outputs are predictions of numbers, and no logits of classes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from outfield.data.base import Items
from outfield.models.base import Model
from outfield.types import Head, Outputs


class Regressor:
    """A model as another adapter sees it, with what that takes for logits as predictions.

    Parameters
    ----------
    of : Model

    Examples
    --------
    >>> import torch
    >>> from outfield.models.torch import TorchModel
    >>> rows = torch.zeros(2, 3).numpy()
    >>> model = Regressor(TorchModel(torch.nn.Linear(3, 1), rows))
    >>> model.forward(model.prepare(rows)).predictions.shape, "logits" in model.offers
    (torch.Size([2, 1]), False)
    """

    def __init__(self, of: Model) -> None:
        self.of, self.name, self.forwards = of, of.name, 0

    def __repr__(self) -> str:
        return f"Regressor({self.of!r})"

    @property
    def layers(self) -> tuple[str, ...]:
        return self.of.layers

    @property
    def classes(self) -> None:
        return None

    @property
    def head(self) -> Head | None:
        return None

    @property
    def offers(self) -> frozenset[str]:
        return self.of.offers - {"logits", "classes", "head", "gradients"}

    @property
    def input_std(self) -> Tensor:
        return self.of.input_std

    def prepare(self, batch: Items) -> Tensor:
        return self.of.prepare(batch)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Predictions, features and layers."""
        out = self.of.forward(x, layers)
        self.forwards += len(x)
        features = out.features if out.has("features") else None
        return Outputs(features=features, predictions=out.logits, layers=out.layers)

    def evaluating(self) -> AbstractContextManager[None]:
        return self.of.evaluating()

    def digest(self) -> str:
        return self.of.digest()
