"""Banks: seeded subsamples of the fit rows, the same for any number of chunks and shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outfield.features.folds import Fold
from outfield.types import Outputs


@dataclass(frozen=True)
class Bank(Fold["list[tuple[Tensor, Outputs]]", Outputs]):
    """Rows of the fit data drawn by a hash of their number: all, a share, or at most so many.

    Parameters
    ----------
    share : float
        Expected share of the rows to keep, 0 < share <= 1.
    limit : int, optional
        Keep the rows with the ``limit`` smallest hashes.
    seed : int
    """

    share: float = 1.0
    limit: int | None = None
    seed: int = 0

    def start(self, like: Outputs) -> list[tuple[Tensor, Outputs]]:
        return []

    def update(self, total: list[tuple[Tensor, Outputs]], chunk: Outputs, first: int) -> list[tuple[Tensor, Outputs]]:
        places = torch.from_numpy(priorities(np.arange(first, first + len(chunk)), self.seed))
        keep = torch.nonzero(places < self.share).flatten()
        return self._limited([*total, (places[keep], chunk[keep].map(torch.clone))])

    def merge(
        self, total: list[tuple[Tensor, Outputs]], other: list[tuple[Tensor, Outputs]]
    ) -> list[tuple[Tensor, Outputs]]:
        return self._limited([*total, *other])

    def finish(self, total: list[tuple[Tensor, Outputs]]) -> Outputs:
        return Outputs.cat([rows for _, rows in total])

    def _limited(self, parts: list[tuple[Tensor, Outputs]]) -> list[tuple[Tensor, Outputs]]:
        if self.limit is None or sum(len(places) for places, _ in parts) <= self.limit:
            return parts
        places = torch.cat([part for part, _ in parts])
        rows = Outputs.cat([part for _, part in parts])
        keep = places.argsort()[: self.limit].sort().values
        return [(places[keep], rows[keep])]


def priorities(rows: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row number: SplitMix64 of row and seed, so that no state is carried."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray(z >> np.uint64(11), dtype=np.float64) / float(1 << 53)
