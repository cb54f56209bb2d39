"""What the data plug-ins are: a ``Source`` names data and loads it, a ``Dataset`` holds its rows.

A source, a shift and a generator are frozen dataclasses: their fields are their parameters, from which
repr, JSON and keys come. Loading gives a ``Dataset``, which knows its own content digest.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
Items: TypeAlias = "NDArray[Any] | list[Any]"
"""Items of one batch: an array ``[n, H, W, C]`` (uint8, or float32 in [0, 1]) or ``[n, D]`` where all are
of one shape, else a list of n items (pictures ``[H, W, C]``, texts, pairs of texts)."""
Labels: TypeAlias = "NDArray[np.int64] | None"
Names: TypeAlias = "tuple[str, ...] | None"
CHUNK = 512
"""Rows that are read at a time where a whole data set is walked through."""


@runtime_checkable
class Dataset(Protocol):
    """Rows of inputs with their labels.

    Attributes
    ----------
    labels : int64 array [n], or None for data without labels
    classes : names of the classes, or None
    """

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The number of each row's class [n], or None."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes 0, 1, ..., or None."""
        ...

    def __len__(self) -> int: ...
    def read(self, rows: slice | NDArray[np.int64]) -> Items:
        """The items of ``rows``, in that order."""
        ...

    def digest(self) -> str:
        """Content key: equal for equal items and labels, whatever the place they are read from.

        Pictures in files count by the bytes of the file and the decoding, so that no key needs a decoded picture.
        """
        ...


class Source(ABC):
    """A place that data comes from.

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> @dataclass(frozen=True)
    ... class Ramp(Source):
    ...     n: int = 3
    ...     def load(self):
    ...         return ArrayDataset(np.arange(2.0 * self.n).reshape(self.n, 2))
    >>> len(Ramp(n=5).load()), Ramp()
    (5, Ramp(n=3))
    """

    __pydantic_config__: ClassVar = {"arbitrary_types_allowed": True}

    modality: ClassVar[frozenset[str]]
    """What its rows are (``outfield.tags.MODALITIES``)."""
    tasks: ClassVar[frozenset[str]] = frozenset({"any"})
    """What it can be used for (``outfield.tags.TASKS``): a set is ID or OOD by its role alone."""

    @abstractmethod
    def load(self) -> Dataset:
        """The rows. Raises ``UserError`` for what cannot be read."""

    def files(self) -> Sequence[Path] | None:
        """Files, folders and patterns (``*``) that the rows come from, there or not; not what installed packages hold.

        None where that cannot be told: the data are then read anew whenever somebody asks whether they have changed.
        """
        return None

    def whole(self) -> Source:
        """The source with the rows of all its splits; itself where it has no splits."""
        return self


@dataclass(frozen=True)
class Shift(ABC):
    """A covariate shift: the same labels, another look. One file each in ``data/shifts``.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Dusk(Shift):
    ...     def apply(self, image, severity, rng):
    ...         return image * np.float32(1 - 0.1 * severity)
    >>> Dusk().apply(np.ones((1, 1, 1), np.float32), severity=5, rng=row_rng("Dusk", 0, 0)).item()
    0.5
    """

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    tasks: ClassVar[frozenset[str]] = frozenset({"sensory-anomaly"})

    @abstractmethod
    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """One picture [H, W, C] in [0, 1], shifted, in [0, 1]; ``rng`` is seeded by the row alone."""


@dataclass(frozen=True)
class Generator(ABC):
    """A synthetic unit test: a generator of pictures that hold no object. One file each in ``data/synthetic``.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Grey(Generator):
    ...     def draw(self, side, channels, rng, pictures=()):
    ...         return np.full((side, side, channels), rng.random(), np.float32)
    >>> picture = Grey().draw(8, 1, row_rng("Grey", 0, 0))
    >>> picture.shape, float(np.ptp(picture))
    ((8, 8, 1), 0.0)
    """

    colour_only: ClassVar[bool] = False
    """True where the test is about colour alone: it is left out, by name, on one channel."""
    needs_pictures: ClassVar[bool] = False
    """True where it is made from ID pictures."""

    @abstractmethod
    def draw(
        self,
        side: int,
        channels: int,
        rng: np.random.Generator,
        pictures: Sequence[NDArray[np.float32]] = (),
    ) -> NDArray[np.float32]:
        """One picture [side, side, channels] in [0, 1]; ``rng`` is seeded by the row alone."""


def row_rng(name: str, seed: int, row: int) -> np.random.Generator:
    """The random stream of one row of one shift or synthetic test.

    Examples
    --------
    >>> row_rng("Blur", 0, 3).random() == row_rng("Blur", 0, 3).random() != row_rng("Blur", 0, 4).random()
    True
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode()), int(row)])
