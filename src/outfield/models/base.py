"""The border between frameworks and values: what a model adapter offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from torch import Tensor

from outfield.data.base import Items
from outfield.types import Head, Outputs


@runtime_checkable
class Model(Protocol):
    """A model as outfield sees it: a classifier gives logits, any other gives predictions, or features alone."""

    name: str
    forwards: int
    """Inputs of all forward passes so far."""

    @property
    def head(self) -> Head | None:
        """The last linear layer as it is now, a copy; None where the model has no such thing."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations can be had."""
        ...

    @property
    def offers(self) -> frozenset[str]:
        """Of ``logits``, ``features``, ``head``, ``layers``, ``gradients`` (of logits by the input) and ``pictures``.

        The last where its input is pictures from 0 to 1, less ``input_mean``, over ``input_std``.
        """
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the logits, where the model knows them."""
        ...

    @property
    def input_std(self) -> Tensor:
        """What the preprocessing divides by, broadcastable to one input; ones where it does not."""
        ...

    @property
    def input_mean(self) -> Tensor:
        """What the preprocessing subtracts, broadcastable to one input; zeros where it does not."""
        ...

    def prepare(self, batch: Items) -> Tensor:
        """The preprocessing: items of a data set to the model's input, on the model's device."""
        ...

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """One forward pass: logits or predictions, features, and the named layers' activations [n, ...].

        Keeps the graph where gradients are enabled.
        """
        ...

    def evaluating(self) -> AbstractContextManager[None]:
        """Evaluation mode inside, the earlier mode of every module restored outside."""
        ...

    def digest(self) -> str:
        """Content key of architecture, weights and preprocessing."""
        ...


@runtime_checkable
class Changeable(Protocol):
    """A model whose forward pass can go on from other activations than its own."""

    def changed(self, layer: str, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Inside, forward passes go on from what ``change`` makes of the output of a layer."""
        ...


@runtime_checkable
class Bilingual(Protocol):
    """A model that embeds texts and regions of pictures where it embeds pictures."""

    def texts(self, words: Sequence[str]) -> Tensor:
        """Embeddings of words [m, D], each of length 1."""
        ...

    def regions(self, x: Tensor) -> Tensor:
        """Embeddings of the regions of prepared pictures [n, P, D], each of length 1."""
        ...


LACKS = {
    "logits": "logits",
    "classes": "classes",
    "features": "features",
    "head": "a linear head",
    "layers": "layers that give feature maps",
    "gradients": "gradients of its input",
    "texts": "an encoder of texts",
    "regions": "embeddings of a picture's regions",
    "pictures": "pictures of known mean and deviation as its input",
}
"""What a model may not have, in words."""


def lacking(model: Model, wanted: Iterable[str]) -> tuple[str, ...]:
    """What is wanted and the model does not offer, in words; names that no model offers (probes) are passed over.

    A model that gives logits has classes.

    Examples
    --------
    >>> class Forest:
    ...     offers = frozenset({"features"})
    >>> lacking(Forest(), {"features", "head", "logits"})
    ('logits', 'a linear head')
    """
    return tuple(_lacking(model, frozenset(wanted)))


def _lacking(model: Model, wanted: frozenset[str]) -> Iterator[str]:
    offered = model.offers | ({"classes"} if "logits" in model.offers else set())
    for name, words in LACKS.items():
        if name in wanted and name not in offered:
            yield words
