"""What a detector may ask when it fits. What several ask for is computed once, and in as few passes as can be."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield.errors import UserError
from outfield.features import folds
from outfield.features.banks import Bank
from outfield.features.finite import Checked, CheckedStored
from outfield.features.folds import Fold, Split
from outfield.features.memory import give_back
from outfield.features.moments import Moments, MomentSums
from outfield.features.quantiles import Activations
from outfield.features.rows import Rows
from outfield.types import Head, Outputs

R = TypeVar("R")
Encoder: TypeAlias = Callable[[Sequence[str]], Tensor]


class Chunks(Protocol):
    """Outputs in chunks, as often as one likes; ``len`` counts rows."""

    def __iter__(self) -> Iterator[Outputs]: ...
    def __len__(self) -> int: ...


@runtime_checkable
class Stored(Chunks, Protocol):
    """Chunks of arrays on disk: fields and rows that nobody asks for are not read."""

    def keeping(self, names: tuple[str, ...]) -> Chunks:
        """The same rows with the named fields alone, and the layers whose names begin with one of ``names``."""

    def at(self, rows: NDArray[np.int64], names: tuple[str, ...]) -> Rows:
        """Rows by number, in the precision that they are stored in."""


@dataclass(frozen=True)
class InMemory:
    """Chunks of outputs that are already there.

    Examples
    --------
    >>> [len(chunk) for chunk in InMemory(Outputs(features=torch.ones(5, 2)), size=2)]
    [2, 2, 1]
    """

    outputs: Outputs
    size: int = 8192

    def __iter__(self) -> Iterator[Outputs]:
        return self.outputs.chunks(self.size)

    def __len__(self) -> int:
        return len(self.outputs)


class FitData:
    """ID outputs to learn from.

    Parameters
    ----------
    train : Chunks
        Outputs of the ID training split, with the transform of the test split.
    val : Chunks, optional
        Outputs of held-out ID inputs; detectors that need them say so when they are absent.
    encoder : callable, optional
        Of a model of pictures and texts: words to embeddings [m, D].

    Raises
    ------
    UserError
        No training outputs. When rows are read: NaN or infinity in any of them, or labels that are no class.

    Examples
    --------
    >>> import torch
    >>> out = Outputs(logits=torch.eye(2), features=torch.eye(2), labels=torch.tensor([0, 1]))
    >>> data = FitData.of(out)
    >>> data.moments.mean
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, train: Chunks, val: Chunks | None = None, encoder: Encoder | None = None) -> None:
        self._encoder = encoder
        self.train = _checked(train)
        self._val = None if val is None else _checked(val)
        self._totals: dict[Fold[Any, Any], Any] = {}
        self._results: dict[Fold[Any, Any], Any] = {}
        self._made: dict[Hashable, Any] = {}
        if not len(train):
            raise UserError("Expected ID training outputs to fit on, but got none. Pass a split that holds rows.")

    @classmethod
    def of(
        cls, train: Outputs, val: Outputs | None = None, chunk: int = 8192, encoder: Encoder | None = None
    ) -> FitData:
        """Fit data from outputs in memory."""
        return cls(InMemory(train, chunk), None if val is None else InMemory(val, chunk), encoder)

    def texts(self, words: Sequence[str]) -> Tensor:
        """Embeddings of words where the features are pictures' embeddings, [m, D], each of length 1.

        Raises
        ------
        UserError
            The model reads no texts.

        Examples
        --------
        >>> data = FitData.of(Outputs(features=torch.eye(2)), encoder=lambda words: torch.eye(2)[:len(words)])
        >>> data.texts(["star"])
        tensor([[1., 0.]])
        """
        if self._encoder is None:
            raise UserError(
                "Expected a model that embeds texts beside pictures, but this one has none. Open a CLIP: clip:mini, or "
                "clip: and a folder; in Python pass its `texts` as encoder."
            )
        return self._encoder(words).to(self.first.device)

    @property
    def val(self) -> Chunks:
        if self._val is None or not len(self._val):
            raise UserError(
                "Expected held-out ID outputs to fit on, but got none. Pass a validation split: FitData.of(train, val)."
            )
        return self._val

    @cached_property
    def first(self) -> Outputs:
        """The first row of the training outputs: what shapes things have."""
        return next(iter(self.train))[:1].map(torch.clone)

    @property
    def head(self) -> Head:
        """The linear head; ``UserError`` where the model has none."""
        return self.first.head

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.first.logits.shape[1]

    @property
    def dim(self) -> int:
        """Number of features D."""
        return self.first.features.shape[1]

    def fold(self, fold: Fold[Any, R]) -> R:
        """The result of a fold, computed once however many detectors ask."""
        self.prepare([fold])
        if fold not in self._results:
            self._results[fold] = self._finished(fold)
        result: R = self._results[fold]
        return result

    def _finished(self, fold: Fold[Any, Any]) -> Any:
        if fold in self._totals:
            total = self._totals.pop(fold)
            return total() if isinstance(fold, Bank) and callable(total) else fold.finish(total)
        wider = _wider(fold, [*self._totals, *self._results])
        assert isinstance(fold, Bank) and wider
        return self.fold(wider).keeping(fold.keep)

    def prepare(self, wanted: Iterable[Fold[Any, Any]]) -> None:
        """Accumulate several folds together, in one pass over each split that they read.

        What a fold refuses (a class without rows, say) is raised when its result is asked for.
        """
        known = [*self._results, *self._totals]
        new = [fold for fold in dict.fromkeys(wanted) if fold not in known]
        new = [fold for fold in new if not _wider(fold, [*new, *known])]
        for split in sorted({fold.split for fold in new}):
            self._pass([fold for fold in new if fold.split == split], split)

    def _pass(self, wanted: Sequence[Fold[Any, Any]], split: Split) -> None:
        chunks = self.train if split == "train" else self.val
        if isinstance(chunks, Stored):
            banks = [fold for fold in wanted if isinstance(fold, Bank)]
            self._totals.update((bank, partial(_drawn, bank, chunks)) for bank in banks)
            wanted = [fold for fold in wanted if fold not in banks]
            chunks = _narrowed(chunks, wanted)
        if wanted:
            self._totals.update(zip(wanted, folds.run(wanted, chunks), strict=True))
            give_back()

    def once(self, key: Hashable, make: Callable[[], R]) -> R:
        """What ``make`` gives, made once for each key: what detectors, or settings of one, derive alike."""
        if key not in self._made:
            self._made[key] = make()
            give_back()
        result: R = self._made[key]
        return result

    @property
    def moments(self) -> MomentSums:
        """Counts, class means, scatter of the training features."""
        return self.fold(Moments())

    def quantile(self, p: float) -> float:
        """The p-quantile, 0 <= p <= 1, of all scalar activations of the training features.

        Examples
        --------
        >>> round(FitData.of(Outputs(features=torch.arange(1.0, 102.0)[:, None])).quantile(0.9))
        91
        """
        return self.fold(Activations()).quantile(p)

    def bank(
        self, keep: tuple[str, ...] = ("features",), share: float = 1.0, limit: int | None = None, seed: int = 0
    ) -> Outputs:
        """A seeded subsample of the training outputs; ``keep`` names the fields and layers wanted.

        Examples
        --------
        >>> data = FitData.of(Outputs(features=torch.arange(8.0)[:, None]))
        >>> data.bank(limit=3).features.flatten()
        tensor([3., 5., 7.])
        """
        return self.fold(Bank(keep, share, limit, seed)).outputs()


def _checked(chunks: Chunks) -> Chunks:
    return CheckedStored(chunks) if isinstance(chunks, Stored) else Checked(chunks)


def _drawn(bank: Bank, chunks: Stored) -> Rows:
    """The rows of a bank read by number: they take no pass."""
    return chunks.at(bank.numbers(len(chunks)), bank.keep)


def _narrowed(chunks: Stored, wanted: Sequence[Fold[Any, Any]]) -> Chunks:
    """The chunks with what some folds read."""
    if any(fold.reads is None for fold in wanted):
        return chunks
    return chunks.keeping(tuple({name: None for fold in wanted for name in fold.reads or ()}))


def _wider(fold: Fold[Any, Any], among: Iterable[Fold[Any, Any]]) -> Bank | None:
    """A bank of the same rows that keeps all that this one keeps, and more: one of the two is enough."""
    if not isinstance(fold, Bank):
        return None
    wider = (one for one in among if isinstance(one, Bank) and set(one.keep) > set(fold.keep))
    return next((one for one in wider if replace(one, keep=fold.keep) == fold), None)
