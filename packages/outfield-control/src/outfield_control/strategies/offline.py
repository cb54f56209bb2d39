"""What the strategies that learn from logged transitions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class OfflineStrategy(Strategy):
    """A policy of logged transitions alone: Adam, at a rate that stays, on batches of the stream ``learn``.

    Parameters
    ----------
    epochs : int
        As elsewhere, passes over the training set, here of episodes.
    updates : int
        Steps on logged transitions for each batch of episodes that a pass has.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    updates: int = 100

    items: ClassVar[frozenset[str]] = frozenset({"episodes"})
    streams: ClassVar[frozenset[str]] = frozenset({"learn"})
    limits: ClassVar = {"updates": (1, 1_000_000)}

    def length(self, full: int) -> int:
        return full * self.updates
