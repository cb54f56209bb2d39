"""The area under a risk-coverage curve, of any loss: what AURC and its joint form share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.metrics._precision import group_ends
from outfield.metrics._weights import Weights, mean


def mean_risk(values: NDArray[Any], loss: NDArray[Any], weights: Weights | None) -> float:
    """Mean over k of the mean loss of the k lowest scores, which ascend; a tie is taken in every order at once.

    Examples
    --------
    >>> round(mean_risk(np.array([0.1, 0.2, 0.3]), np.array([0.0, 1.0, 0.0]), None), 4)
    0.2778
    """
    ends, sizes = np.unique(group_ends(values), return_counts=True)
    starts = np.concatenate(([0], ends))
    if weights is not None:
        return mean(np.repeat(_of_ties(loss, weights, starts), sizes), weights)
    shared = np.repeat(np.diff(np.concatenate(([0.0], np.cumsum(loss)))[starts]) / sizes, sizes)
    return mean(np.cumsum(shared) / np.arange(1, len(values) + 1), None)


def _of_ties(loss: NDArray[Any], weights: Weights, starts: NDArray[Any]) -> NDArray[np.float64]:
    """Mean risk over the coverages that each tie adds.

    A tie of weight T with mean loss e, behind samples of weight S with losses E, adds the coverages S + 1 .. S + T, as
    T rows would: ``sum_r (E + e r) / (S + r)`` in closed form, also where T is no whole number.
    """
    from scipy.special import digamma

    unit = 1.0 if (weights == np.floor(weights)).all() else float(weights.mean())
    mass = np.concatenate(([0.0], np.cumsum(weights)))[starts] / unit
    losses = np.concatenate(([0.0], np.cumsum(weights * loss)))[starts] / unit
    before, size, rate = mass[:-1], np.diff(mass), np.diff(losses) / np.diff(mass)
    harmonic = digamma(mass[1:] + 1) - digamma(before + 1)
    found: NDArray[np.float64] = (losses[:-1] * harmonic + rate * (size - before * harmonic)) / size
    return found
