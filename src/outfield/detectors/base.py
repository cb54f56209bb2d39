"""What a post-hoc detector is: ``fit`` returns what it learned, ``score`` takes it. Higher means further out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import wraps
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.finite import not_finite, rows_of
from outfield.features.folds import Fold
from outfield.types import FIELDS, Outputs, State

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
    """What ``score`` reads: of ``logits``, ``features``, ``head``, ``inputs``, ``predictions``, and names of probes."""
    information: ClassVar[str]
    """``outputs``, ``features``, ``hybrid``, ``layers`` or ``gradients``: what it rests on."""
    fits_on: ClassVar[frozenset[str]] = frozenset()
    """The splits that ``fit`` reads: of ``train`` and ``val``."""
    fits_with: ClassVar[frozenset[str]] = frozenset()
    """What ``fit`` takes of the model beside its outputs: the ``head``, and ``classes`` that labels name."""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that tuning tries, for each tunable field."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The smallest and largest value of fields that have such; a field that is None is left to its rule."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.title = vars(cls).get("title", cls.__name__)
        if "score" in vars(cls):
            cls.score = _of_finite_rows(vars(cls)["score"])  # type: ignore[method-assign, assignment]  # wraps itself

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
        """Scores [n], higher further out, each of its own row alone.

        A row with NaN or infinity in what the detector needs has the score NaN, whatever the detector.
        """


def _of_finite_rows(score: Callable[[Any, Outputs, State], Tensor]) -> Callable[[Any, Outputs, State], Tensor]:
    """A detector's score, kept from rows that are not finite: they are zero to it, and NaN to whoever asks."""

    @wraps(score)
    def of_finite_rows(self: Detector, out: Outputs, state: State) -> Tensor:
        bad = [rows for values in _needed(out, self.needs) if (rows := not_finite(values)) is not None]
        if not bad:
            return score(self, out, state)
        spoilt = torch.stack(bad).any(dim=0)
        found = score(self, out.map(lambda values: _without(values, spoilt)), state)
        return found.masked_fill(spoilt.to(found.device), torch.nan)

    return of_finite_rows


def _needed(out: Outputs, needs: frozenset[str]) -> Iterator[Tensor]:
    """The values that a detector reads, as far as they are there."""
    probed = tuple(needs - {*FIELDS, "head"})
    for name, values in rows_of(out).items():
        if name in needs or (probed and name.startswith(probed)):
            yield values


def _without(values: Tensor, rows: Tensor) -> Tensor:
    if not values.is_floating_point():
        return values
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0.0)
