"""What a post-hoc detector is: ``fit`` returns what it learned, ``score`` takes it. Higher means further out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import Tensor

from outfield.features.folds import Fold
from outfield.types import Outputs, State

if TYPE_CHECKING:
    from outfield.features.fit_data import FitData
    from outfield.features.probes.base import Probe


@dataclass(frozen=True)
class Detector(ABC):
    """A post-hoc OOD detector: its fields are its hyper-parameters, what it learns is a ``State``.

    A subclass says what it reads (``needs``), may learn (``fit``) and scores (``score``). Tuned values are
    fields, learned values are state.
    """

    needs: ClassVar[frozenset[str]]
    """What ``score`` reads: of ``logits``, ``features``, ``head``, and names of probes."""
    information: ClassVar[str]
    """``outputs``, ``features``, ``hybrid``, ``layers`` or ``gradients``: what it rests on."""
    fits_on: ClassVar[frozenset[str]] = frozenset()
    """The splits that ``fit`` reads: of ``train`` and ``val``."""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that tuning tries, for each tunable field."""

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        """The folds that ``fit`` will ask for, so that detectors can share a pass."""
        return ()

    def probes(self) -> tuple[Probe, ...]:
        """The probes whose values ``fit`` and ``score`` read in ``Outputs.layers``."""
        return ()

    def clipped(self, data: FitData) -> Self:
        """The same detector with its parameters clipped to what exists (classes, features, bank rows)."""
        return self

    def variants(self, data: FitData) -> tuple[Self, ...]:
        """Every setting of the grid, clipped to what exists, duplicates dropped."""
        return tuple(dict.fromkeys(variant.clipped(data) for variant in self._settings()))

    def _settings(self) -> Iterator[Self]:
        for values in product(*self.grid.values()):
            yield replace(self, **dict(zip(self.grid, values, strict=True)))

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return asdict(self)

    def fit(self, data: FitData) -> State:
        """What is learned from ID outputs; equal data give an equal state."""
        return {}

    @abstractmethod
    def score(self, out: Outputs, state: State) -> Tensor:
        """Scores [n], higher further out, each of its own row alone."""
