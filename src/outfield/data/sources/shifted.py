from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from outfield import registry
from outfield.data import views
from outfield.data.base import Dataset, Source
from outfield.errors import UserError


@dataclass(frozen=True)
class Shifted(Source):
    """Another source's pictures under a covariate shift, with their labels.

    Parameters
    ----------
    of : Source, or the mapping that names one
    shift : str
        A name of ``outfield list shifts``.
    severity : int
        1 to 5.
    seed : int

    Examples
    --------
    >>> from outfield.data.sources.digits import Digits
    >>> Shifted(Digits(part="test"), "rotation", severity=2).load().read(slice(0, 3)).dtype
    dtype('uint8')
    """

    of: Source
    shift: str = "gaussian_noise"
    severity: int = 3
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(f"Expected a source to shift, but got {self.of!r}. Name one with `source`.")

    def files(self) -> Sequence[Path] | None:
        return self.of.files()

    def load(self) -> Dataset:
        shift = registry.create("shifts", self.shift)
        return views.shifted(self.of.load(), shift, self.severity, self.seed)
