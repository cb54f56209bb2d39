from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from outfield.estimators.base import Answered, Estimator, between, resamples
from outfield.types import Array, Estimate

MOST = 2_000
"""Items of the batch that one transport problem is solved for."""


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
    """The dual potential of each label in the transport of equal items onto shares."""
    n, classes = cost.shape
    of_item = sparse.kron(sparse.eye_array(n), np.ones((1, classes)))
    of_label = sparse.kron(np.ones((1, n)), sparse.eye_array(classes))
    found = optimize.linprog(
        cost.ravel() / n, A_eq=sparse.vstack([of_item, of_label]).tocsr(), b_eq=np.r_[np.ones(n), n * shares],
        bounds=(0, None), method="highs",
    )  # fmt: skip
    return np.asarray(found.eqlin.marginals[n:] * n)
