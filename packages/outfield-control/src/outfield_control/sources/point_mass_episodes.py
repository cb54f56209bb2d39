from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError

LARGEST = 1 << 24
"""Whole numbers up to it are exact in float32, as which an episode is read."""


@dataclass(frozen=True)
class PointMassEpisodes(Source):
    """Episodes of the point mass: where the body starts, the parameters of its world, the seed of its gusts.

    A row is an episode, its numbers are ``world.COLUMNS``. Episodes of one number and seed start alike and meet the
    same gusts, whatever the world: a shift is the same episodes in another world. The wind's direction is drawn for
    each.

    Parameters
    ----------
    episodes : int
    first : int
        Number of the first one; sets whose numbers do not overlap have no episode in common.
    wind : float
        Its force; the strongest push is 1 along each axis.
    gravity : float
        Downwards.
    mass : float
    seed : int

    Raises
    ------
    UserError
        No episode; a mass that is not above zero.

    Examples
    --------
    >>> calm, windy = PointMassEpisodes(2, first=5).load(), PointMassEpisodes(2, first=5, wind=0.4).load()
    >>> (calm.read(slice(None)) != windy.read(slice(None))).sum(axis=0)
    array([0, 0, 0, 0, 2, 2, 0, 0, 0])
    """

    episodes: int = 256
    first: int = 0
    wind: float = 0.0
    gravity: float = 0.0
    mass: float = 1.0
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"episodes"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        if not 1 <= self.first + self.episodes <= LARGEST or self.episodes < 1 or self.first < 0 or self.seed < 0:
            raise UserError(
                f"Expected 1 to {LARGEST:,} episodes, numbered from 0, and a seed from 0, but got {self.episodes} from "
                f"number {self.first} with seed {self.seed}. Mend `episodes`, `first` or `seed`."
            )
        if not self.mass > 0:
            raise UserError(f"Expected a mass above 0, but got {self.mass:g}. Mend `mass`.")
        numbers = range(self.first, self.first + self.episodes)
        return ArrayDataset(np.array([self._episode(number) for number in numbers], dtype=np.float32))

    def _episode(self, number: int) -> tuple[float, ...]:
        chance = np.random.default_rng([self.seed, number])
        x, y = chance.uniform(-1, 1, 2)
        vx, vy = chance.uniform(-0.2, 0.2, 2)
        direction = chance.uniform(0, 2 * pi)
        wind = self.wind * cos(direction), self.wind * sin(direction)
        return x, y, vx, vy, *wind, self.gravity, self.mass, float(chance.integers(LARGEST))
