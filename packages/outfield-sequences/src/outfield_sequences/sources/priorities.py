from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError


@dataclass(frozen=True)
class Priorities(Source):
    """Sets of entries, each a priority between 0 and 1 and a class; the label is the class of the largest priority [1].

    A row holds the priorities of its ``most`` places, then their classes; a place without an entry has the class -1.

    Parameters
    ----------
    n : int
        Sets.
    fewest, most : int
        Entries of a set: a number from ``fewest`` to ``most``, each as likely.
    classes : int
    seed : int

    Raises
    ------
    UserError
        Numbers that are too small.

    Examples
    --------
    >>> sets = Priorities(n=2, fewest=2, most=3, classes=4, seed=1).load()
    >>> sets.read(slice(0, 2)).round(2), sets.labels
    (array([[ 0.26,  0.94,  0.  ,  0.  ,  1.  , -1.  ],
           [ 0.25,  0.34,  0.  ,  2.  ,  0.  , -1.  ]], dtype=float32), array([1, 0]))

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """

    n: int
    fewest: int = 5
    most: int = 16
    classes: int = 10
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def __post_init__(self) -> None:
        if min(self.n, self.fewest) < 1 or self.most < self.fewest or self.classes < 2:
            raise UserError(
                "Expected at least 1 set, 1 <= fewest <= most entries and 2 classes, but got "
                f"n={self.n}, fewest={self.fewest}, most={self.most}, classes={self.classes}. Mend them."
            )

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        priorities, classes = self._entries()
        labels = np.take_along_axis(classes, priorities.argmax(axis=1)[:, None], axis=1)[:, 0]
        rows = np.concatenate([priorities, classes], axis=1, dtype=np.float32)
        return ArrayDataset(rows, labels, classes=list(map(str, range(self.classes))))

    def _entries(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Priorities and classes [n, most]."""
        rng = np.random.default_rng([self.seed, self.fewest, self.most, self.classes])
        shape = (self.n, self.most)
        there = np.arange(self.most) < rng.integers(self.fewest, self.most + 1, self.n)[:, None]
        priorities = np.where(there, rng.random(shape, np.float32), np.float32(0))
        return priorities, np.where(there, rng.integers(self.classes, size=shape), -1)
