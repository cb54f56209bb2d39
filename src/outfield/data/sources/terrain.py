from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._package_files import crops, shipped, with_channels


@dataclass(frozen=True)
class Terrain(Source):
    """Square cuts of a measured elevation model that matplotlib ships: the Jacksboro fault, 344 x 403 posts [1].

    Elevation in metres, relative to the least and greatest of the cut, becomes black to white.

    Parameters
    ----------
    n, side, channels, seed : int
        How many cuts, their size, 1 or 3 (equal) channels, and the seed of their places.
    edges : pair of int
        Least and greatest edge of a cut in posts, before it is made small.
    detail : int, optional
        Make a cut this small first, then enlarge it bicubically to ``side``.

    Examples
    --------
    >>> Terrain(n=4).load().read(slice(None)).shape
    (4, 16, 16, 1)

    References
    ----------
    [1] U.S. Geological Survey, elevation data, as shipped in matplotlib's sample data.
    """

    n: int = 300
    side: int = 16
    channels: int = 1
    edges: tuple[int, int] = (16, 64)
    detail: int | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        with np.load(shipped("matplotlib", "mpl-data", "sample_data", "jacksboro_fault_dem.npz")) as file:
            metres = file["elevation"].astype(np.float64)
        grey = np.rint((metres - metres.min()) / np.ptp(metres) * 255).astype(np.uint8)
        cuts = crops(grey, self.n, self.edges, side=self.side, detail=self.detail, seed=self.seed).astype(np.float64)
        low, high = cuts.min(axis=(1, 2, 3), keepdims=True), cuts.max(axis=(1, 2, 3), keepdims=True)
        relief = np.rint((cuts - low) / np.maximum(high - low, 1) * 255).astype(np.uint8)
        return ArrayDataset(with_channels(relief, self.channels))
