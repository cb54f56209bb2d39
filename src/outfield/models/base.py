"""The border between frameworks and values: what a model adapter offers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from torch import Tensor

from outfield.data.base import Batch
from outfield.types import Head, Outputs


@runtime_checkable
class Model(Protocol):
    """A classifier as outfield sees it."""

    @property
    def head(self) -> Head | None:
        """The last linear layer, or None where the model has no such thing."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations can be had."""
        ...

    @property
    def input_std(self) -> Tensor:
        """What the preprocessing divides by, broadcastable to one input; ones where it does not."""
        ...

    def prepare(self, batch: Batch) -> Tensor:
        """The preprocessing: items of a data set to the model's input, on the model's device."""
        ...

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """One forward pass: logits, features, and the named layers' activations [n, ...].

        Keeps the graph where gradients are enabled.
        """
        ...

    def evaluating(self) -> AbstractContextManager[None]:
        """Evaluation mode inside, the earlier mode of every module restored outside."""
        ...

    def digest(self) -> str:
        """Content key of architecture, weights and preprocessing."""
        ...
