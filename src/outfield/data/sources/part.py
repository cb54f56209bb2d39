from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from outfield.data import sampling, views
from outfield.data.base import Dataset, Source
from outfield.errors import UserError


@dataclass(frozen=True)
class Part(Source):
    """Some rows of another source: a share of a seeded, stratified order, and at most so many of it.

    Shares that do not overlap, with the same seed, have no row in common: 0 to .5 and .5 to 1 are two halves.

    Parameters
    ----------
    of : Source, or the mapping that names one
    start, stop : float
        The share of every class (of every part, where there are no labels) to keep.
    classes : tuple of int, optional
        Keep these labels first, counted anew in this order.
    limit : int, optional
        At most so many rows, each class with its share.
    seed : int

    Examples
    --------
    >>> from outfield.data.sources.digits import Digits
    >>> len(Part(Digits(), stop=0.5).load()), len(Part(Digits(), limit=100).load())
    (898, 100)
    """

    of: Source
    start: float = 0.0
    stop: float = 1.0
    classes: tuple[int, ...] | None = None
    limit: int | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"any"})

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(f"Expected a source to take a part of, but got {self.of!r}. Name one with `source`.")

    def files(self) -> Sequence[Path] | None:
        return self.of.files()

    def load(self) -> Dataset:
        whole = self.of.load()
        chosen = whole if self.classes is None else views.of_classes(whole, self.classes)
        part = sampling.between(chosen, self.start, self.stop, self.seed)
        return part if self.limit is None else sampling.sample(part, self.limit, self.seed)
