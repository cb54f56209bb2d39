"""What a post-hoc detector is: ``fit`` returns what it learned, ``score`` takes it. Higher means further out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import Tensor

from outfield.errors import UserError
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

    title: ClassVar[str]
    """The name that the field writes; the class's own unless it says otherwise."""
    needs: ClassVar[frozenset[str]]
    """What ``score`` reads: of ``logits``, ``features``, ``head``, and names of probes."""
    information: ClassVar[str]
    """``outputs``, ``features``, ``hybrid``, ``layers`` or ``gradients``: what it rests on."""
    fits_on: ClassVar[frozenset[str]] = frozenset()
    """The splits that ``fit`` reads: of ``train`` and ``val``."""
    fits_with: ClassVar[frozenset[str]] = frozenset()
    """What ``fit`` reads of the model beside its outputs: the ``head``, or nothing."""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that tuning tries, for each tunable field."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The smallest and largest value of fields that have such; a field that is None is left to its rule."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.title = vars(cls).get("title", cls.__name__)

    def __post_init__(self) -> None:
        for name, value in self.params.items():
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        for name, (low, high) in self.bounds.items():
            self._check(name, getattr(self, name), low, high)

    def _check(self, name: str, value: Any, low: float, high: float) -> None:
        if value is not None and not (isinstance(value, (int, float)) and low <= value <= high):
            raise UserError(
                f"Expected {name} of {self.title} from {low:g} to {high:g}, but got {value!r}. "
                "Choose a value in between."
            )

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        """The folds that ``fit`` will ask for, so that detectors can share a pass."""
        return ()

    def folds_on(self, data: FitData) -> tuple[Fold[Any, Any], ...]:
        """The folds that ``fit`` will ask for on these data, where that takes no pass to know."""
        return self.clipped(data).folds()

    def probes(self) -> tuple[Probe, ...]:
        """The probes whose values ``fit`` and ``score`` read in ``Outputs.layers``."""
        return ()

    def clipped(self, data: FitData) -> Self:
        """The same detector with its parameters clipped to what exists (classes, features, bank rows)."""
        return self

    def variants(self, data: FitData) -> tuple[Self, ...]:
        """Every setting of the grid, clipped to what exists, duplicates dropped."""
        return tuple(dict.fromkeys(variant.clipped(data) for variant in self.settings()))

    def settings(self) -> Iterator[Self]:
        """Every setting of the grid, as it stands."""
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
