from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from outfield.estimators.base import Answered, Estimator, between, resamples
from outfield.types import Array, Estimate

MOST = 2_000
"""Items of the batch that one transport problem is solved for."""
ROUNDING = 1e-10
"""Mass, in items, that is none."""


@dataclass(frozen=True)
class ConfidenceTransport(Estimator):
    """One less the cost of moving the batch's probabilities onto the ID label shares (COT) [1].

    The cost of giving an item the label y is ``1 - p_y``, the largest difference of its probabilities (after
    temperature scaling) to that label's. Where the label shares stay as they were on ID data, a model that says one
    class too often pays for it, which the mean confidence does not. Where they do not stay, it is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.tile([[8.0, 0.0], [0.0, 8.0]], (50, 1))
    >>> known = Answered(logits, np.tile([0, 1], 50))
    >>> [round(ConfidenceTransport().accuracy(known, Answered(one)), 2) for one in (logits, logits[::2])]
    [1.0, 0.5]

    References
    ----------
    [1] Lu, Wang, Kolkin et al., Characterizing out-of-distribution error via optimal transport, NeurIPS 2023.
    """

    def accuracy(self, known: Answered, batch: Answered) -> float:
        return 1 - _cost(known, batch, _potentials_of(known, batch))

    def estimate(self, known: Answered, batch: Answered, *, draws: int = 200, seed: int = 0) -> Estimate:
        """As every estimator's; the transport is solved once, and its potentials price each resample."""
        potentials = _potentials_of(known, batch)
        value = 1 - _cost(known, batch, potentials)
        drawn = np.array([1 - _cost(*pair, potentials) for pair in resamples(known, batch, draws, seed)])
        return between(value, drawn, len(batch))


def _cost(known: Answered, batch: Answered, potentials: Array) -> float:
    """The dual value of the transport: its cost at the potentials that solve it, close to it near by."""
    left = _costs(known, batch) - potentials
    return float(left.min(axis=1).mean() + potentials @ _shares(known, len(potentials)))


def _costs(known: Answered, batch: Answered) -> Array:
    return 1 - batch.cooled(known.temperature).probabilities


def _shares(known: Answered, classes: int) -> Array:
    assert known.labels is not None
    return np.asarray(np.bincount(known.labels, minlength=classes) / len(known))


def _potentials_of(known: Answered, batch: Answered) -> Array:
    cost = _costs(known, batch)
    shares = _shares(known, cost.shape[1])
    return np.asarray(np.mean([_potentials(part, shares) for part in _parts(cost)], axis=0))


def _parts(cost: Array) -> list[Array]:
    return np.array_split(cost, -(-len(cost) // MOST))


def _potentials(cost: Array, shares: Array) -> Array:
    """The dual potential of each label in the transport of equal items onto shares, by successive shortest paths.

    Each item begins at its cheapest label. While a label has too many, the cheapest chain of items that move on one
    label each brings some of its mass to a label with room. Potentials rise by the distances, so that every item stays
    at a label of its least ``cost - potential``: at the end the transport is the cheapest that there is.
    """
    flow = _Flow(cost, len(cost) * shares)
    while flow.excess.max() > ROUNDING * len(shares):
        flow.move(flow.cheapest_path())
    return flow.potentials


class _Flow:
    """Which mass of each item is at which label, [n, C]; and the cheapest item to move between two labels, [C, C]."""

    def __init__(self, cost: Array, room: Array) -> None:
        n, classes = cost.shape
        self.cost, self.potentials = cost, np.zeros(classes)
        self.mass = np.zeros((n, classes))
        self.mass[np.arange(n), cost.argmin(axis=1)] = 1
        self.excess = self.mass.sum(axis=0) - room
        self.price, self.item = np.full((classes, classes), np.inf), np.zeros((classes, classes), dtype=int)
        for label in range(classes):
            self._price(label)

    def _price(self, label: int) -> None:
        here = np.flatnonzero(self.mass[:, label])
        if not len(here):
            self.price[label] = np.inf
            return
        more = self.cost[here] - self.cost[here, label, None]
        best = more.argmin(axis=0)
        self.price[label], self.item[label] = more[best, np.arange(len(best))], here[best]

    def cheapest_path(self) -> list[int]:
        """Labels from one with too many to the nearest with room, by Dijkstra; potentials rise by the distances."""
        distance = np.where(self.excess > ROUNDING, 0.0, np.inf)
        before, open_ = np.full(len(distance), -1), np.ones(len(distance), dtype=bool)
        while True:
            at = int(np.where(open_, distance, np.inf).argmin())
            open_[at] = False
            if self.excess[at] < -ROUNDING:
                break
            length = np.maximum(self.price[at] - self.potentials + self.potentials[at], 0)
            nearer = open_ & (distance[at] + length < distance)
            distance[nearer], before[nearer] = distance[at] + length[nearer], at
        self.potentials = self.potentials + np.minimum(distance, distance[at])
        path = [at]
        while before[path[0]] >= 0:
            path.insert(0, int(before[path[0]]))
        return path

    def move(self, path: list[int]) -> None:
        """Move as much along a path as its ends and its items allow."""
        steps = [(self.item[a, b], a, b) for a, b in pairwise(path)]
        amount = min(self.excess[path[0]], -self.excess[path[-1]], *(self.mass[item, a] for item, a, _ in steps))
        for item, a, b in steps:
            self.mass[item, a] -= amount
            self.mass[item, b] += amount
        self.excess[path[0]] -= amount
        self.excess[path[-1]] += amount
        for label in path:
            self._price(label)
