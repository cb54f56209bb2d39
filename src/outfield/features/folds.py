"""Folds: statistics of a stream of outputs, learned chunk by chunk, in any number of shards.

A fold is a frozen dataclass, so that two detectors that ask for an equal one share its result.
``start`` makes an accumulator, ``update`` adds a chunk, ``merge`` adds two accumulators, ``finish`` turns one
into the result. The result must not depend on how the rows were cut into chunks and shards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from outfield.types import Outputs

A = TypeVar("A")
R = TypeVar("R")
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Fold(ABC, Generic[A, R]):
    """One statistic of a stream: ``A`` is its accumulator, ``R`` its result.

    Parameters
    ----------
    split : "train" or "val"
        The rows that it reads.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Largest(Fold[float, float]):
    ...     def start(self, like):
    ...         return float("-inf")
    ...     def update(self, total, chunk, first):
    ...         return max(total, float(chunk.features.max()))
    ...     def merge(self, total, other):
    ...         return max(total, other)
    ...     def finish(self, total):
    ...         return total
    >>> import torch
    >>> from outfield.features.fit_data import FitData
    >>> FitData.of(Outputs(features=torch.tensor([[1.0], [5.0], [2.0]])), chunk=2).fold(Largest())
    5.0
    """

    reads: ClassVar[tuple[str, ...] | None] = None
    """The fields, and beginnings of names of layers, that it reads; all if it does not say."""

    split: Split = field(default="train", kw_only=True)

    @abstractmethod
    def start(self, like: Outputs) -> A:
        """An empty accumulator for outputs shaped like ``like``."""

    @abstractmethod
    def update(self, total: A, chunk: Outputs, first: int) -> A:
        """``total`` with the rows of ``chunk`` added; its first row is row ``first`` of the data."""

    @abstractmethod
    def merge(self, total: A, other: A) -> A:
        """The accumulator of both shards' rows; ``other`` holds the later ones.

        Examples
        --------
        >>> import torch
        >>> from outfield.features.moments import Moments
        >>> fold, out = Moments(), Outputs(features=torch.tensor([[1.0], [3.0], [8.0]]))
        >>> total = fold.merge(run([fold], [out[:1]])[0], run([fold], [out[1:]], first=1)[0])
        >>> fold.finish(total).mean.item()
        4.0
        """

    @abstractmethod
    def finish(self, total: A) -> R:
        """The statistic."""


def run(folds: Sequence[Fold[Any, Any]], chunks: Iterable[Outputs], first: int = 0) -> list[Any]:
    """Accumulators of several folds from one pass over ``chunks``; ``first`` is the number of the first row.

    Examples
    --------
    >>> import torch
    >>> from outfield.features.moments import Moments
    >>> (sums,) = run([Moments()], Outputs(features=torch.tensor([[1.0], [3.0], [8.0]])).chunks(2))
    >>> sums.n, sums.mean
    (3.0, tensor([4.], dtype=torch.float64))
    """
    totals: list[Any] = []
    for chunk in chunks:
        totals = totals or [fold.start(chunk) for fold in folds]
        totals = [fold.update(total, chunk, first) for fold, total in zip(folds, totals, strict=True)]
        first += len(chunk)
    return totals
