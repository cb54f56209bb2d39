"""What a post-hoc detector is: ``fit`` returns what it learned, ``score`` takes it. Higher means further out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import wraps
from itertools import chain, product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from outfield import registry
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

    A field ``base: Detector`` (or ``bases: tuple[Detector, ...]``) holds a detector that this one wraps: given as a
    detector, by its name, or as a mapping of its name and parameters. What it needs, its fit reads, its probes, folds
    and grid are then the wrapper's too.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Largest(Detector):
    ...     needs = frozenset({"logits"})
    ...     def score(self, out, state):
    ...         return -out.logits.amax(1)
    >>> import torch
    >>> Largest().score(Outputs(logits=torch.tensor([[9.0, 0.0], [0.1, 0.0]])), state={})
    tensor([-9.0000, -0.1000])
    """

    title: ClassVar[str]
    """The name that the field writes; the class's own unless it says otherwise."""
    needs: ClassVar[frozenset[str]]
    """What ``score`` reads: of ``logits``, ``features``, ``head``, ``inputs``, ``predictions``, and names of probes."""
    information: ClassVar[str]
    """``inputs``, ``outputs``, ``features``, ``hybrid``, ``layers`` or ``gradients``: what it rests on."""
    modality: ClassVar[frozenset[str]]
    """The inputs that it takes (``outfield.tags.MODALITIES``): said by one that reads inputs or asks a probe."""
    fits_on: ClassVar[frozenset[str]] = frozenset()
    """The splits that ``fit`` reads: of ``train`` and ``val``."""
    fits_with: ClassVar[frozenset[str]] = frozenset()
    """What ``fit`` takes of the model beside its outputs: the ``head``, and ``classes`` that labels name."""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that tuning tries, for each tunable field."""
    by_default: ClassVar[bool] = True
    """Whether studies and cards that name no detectors ask it: not where it is dear, or rests on another detector."""
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The smallest and largest value of fields that have such; a field that is None is left to its rule."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.title = vars(cls).get("title", cls.__name__)
        if "score" in vars(cls):
            cls.score = _of_finite_rows(vars(cls)["score"])  # type: ignore[method-assign, assignment]  # wraps itself

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            value = tuple(value) if isinstance(value, list) else value
            object.__setattr__(self, one.name, _built(value) if one.name in self.base_fields() else value)
        for base in self.bases:
            for name in ("needs", "fits_on", "fits_with"):
                object.__setattr__(self, name, getattr(self, name) | getattr(base, name))
            object.__setattr__(self, "grid", {**self.grid, **{f"base.{name}": v for name, v in base.grid.items()}})
        for name, (low, high) in self.bounds.items():
            self._check(name, getattr(self, name), low, high)

    def _check(self, name: str, value: Any, low: float, high: float) -> None:
        if value is not None and not (isinstance(value, (int, float)) and low <= value <= high):
            raise UserError(
                f"Expected {name} of {self.title} from {low:g} to {high:g}, but got {value!r}. "
                "Choose a value in between."
            )

    @classmethod
    def base_fields(cls) -> tuple[str, ...]:
        """Names of the fields that hold detectors."""
        return tuple(one.name for one in fields(cls) if one.type in _HOLDS)

    @property
    def bases(self) -> tuple[Detector, ...]:
        """The detectors that this one wraps."""
        held = (getattr(self, name) for name in self.base_fields())
        return tuple(chain.from_iterable(one if isinstance(one, tuple) else (one,) for one in held))

    def _with_bases(self, bases: Iterable[Detector]) -> Self:
        """The same detector around others."""
        rest = iter(bases)
        held = {name: getattr(self, name) for name in self.base_fields()}
        some = {n: tuple(next(rest) for _ in one) if isinstance(one, tuple) else next(rest) for n, one in held.items()}
        return replace(self, **some) if some else self

    @property
    def code(self) -> frozenset[type[Detector]]:
        """Its class and those of the detectors that it wraps: the code that a score rests on."""
        return frozenset({type(self)}.union(*(base.code for base in self.bases)))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        """The folds that ``fit`` will ask for, so that detectors can share a pass."""
        return tuple(fold for base in self.bases for fold in base.folds())

    def folds_on(self, data: FitData) -> tuple[Fold[Any, Any], ...]:
        """The folds that ``fit`` will ask for on these data, where that takes no pass to know."""
        return tuple(f for base in self.bases for f in base.folds_on(data)) or self.clipped(data).folds()

    def probes(self) -> tuple[Probe, ...]:
        """The probes whose values ``fit`` and ``score`` read in ``Outputs.layers``."""
        return tuple(probe for base in self.bases for probe in base.probes())

    def clipped(self, data: FitData) -> Self:
        """The same detector with its parameters clipped to what exists (classes, features, bank rows)."""
        return self._with_bases(base.clipped(data) for base in self.bases)

    def variants(self, data: FitData) -> tuple[Self, ...]:
        """Every setting of the grid, clipped to what exists, duplicates dropped."""
        return tuple(dict.fromkeys(variant.clipped(data) for variant in self.settings()))

    def settings(self) -> Iterator[Self]:
        """Every setting of the grid, as it stands."""
        grid = type(self).grid
        for values in product(*grid.values()):
            setting = replace(self, **dict(zip(grid, values, strict=True)))
            for bases in product(*(base.settings() for base in self.bases)):
                yield setting._with_bases(bases)

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters by name; a detector among them as its name and its own."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    def fit(self, data: FitData) -> State:
        """What is learned from ID outputs; equal data give an equal state."""
        return {}

    @abstractmethod
    def score(self, out: Outputs, state: State) -> Tensor:
        """Scores [n], higher further out, each of its own row alone.

        A row with NaN or infinity in what the detector needs has the score NaN, whatever the detector.
        """


_HOLDS = (Detector, "Detector", "tuple[Detector, ...]")
"""Types of fields that hold detectors, as they are or as they are written."""


def _built(value: Any) -> Any:
    """A detector, or several, from their names or mappings."""
    if isinstance(value, tuple):
        return tuple(map(_built, value))
    if isinstance(value, str):
        return registry.create("detectors", value)
    if isinstance(value, Mapping) and "name" in value:
        return registry.create("detectors", value["name"], **{n: one for n, one in value.items() if n != "name"})
    if isinstance(value, Detector):
        return value
    raise UserError(
        f"Expected a detector to wrap, but got {value!r}. Give its name, or a mapping of its name and parameters."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return {"name": registry.name_of("detectors", value), **value.params} if isinstance(value, Detector) else value


def _of_finite_rows(score: Callable[[Any, Outputs, State], Tensor]) -> Callable[[Any, Outputs, State], Tensor]:
    """A detector's score, kept from rows that are not finite: they are zero to it, and NaN to whoever asks."""

    @wraps(score)
    def of_finite_rows(self: Detector, out: Outputs, state: State) -> Tensor:
        bad = [rows for values in _needed(out, self.needs) if (rows := not_finite(values)) is not None]
        if not bad:
            return score(self, out, state)
        spoilt = torch.stack(bad).any(dim=0)
        found = score(self, out.map(lambda values: _without(values, spoilt)), state)
        return found.masked_fill(spoilt, torch.nan)

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
