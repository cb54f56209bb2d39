from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.metrics._intervals import NAN, of_influence, quantile
from outfield.metrics._precision import group_ends
from outfield.metrics._weights import Weights, mean, variance_of_mean
from outfield.metrics.base import ErrorMetric, IdScores
from outfield.types import Estimate


@dataclass(frozen=True)
class Aurc(ErrorMetric):
    """Area under the risk-coverage curve: mean over k of the error rate of the k lowest scores [1].

    The selective risk of a model that answers where the score is low. Samples of equal score are taken in every
    order at once (their expected risk), so that the order of the rows is of no account. The interval is the normal
    one with the infinitesimal jackknife's variance; none where every prediction is right, or every one wrong. Weights
    that are whole numbers count as repeated rows; others are scaled to a mean of 1, for the AURC of few rows hangs a
    little on how many there are.

    Examples
    --------
    >>> round(Aurc()([0.1, 0.2, 0.3], [True, False, True]).value, 4)
    0.2778

    References
    ----------
    [1] Geifman, Uziel, El-Yaniv. Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers. ICLR 2019.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "AURC"

    def of(self, data: IdScores) -> Estimate:
        wrong = _shared_among_ties(data)
        n = len(wrong)
        answered = np.arange(1, n + 1) if data.weights is None else np.cumsum(data.weights)
        risk = np.cumsum(wrong) / answered if data.weights is None else _risks(data, data.weights)
        degenerate = data.count(True) in {0, n}
        variance = NAN if degenerate else _variance(wrong, answered / answered[-1], data.weights)
        return of_influence(mean(risk, data.weights), variance, n, quantile=quantile(data.weights))


def _shared_among_ties(data: IdScores) -> NDArray[np.float64]:
    """Errors in the order of the scores, those of a tie spread evenly over its weight, [n]."""
    missed = ~data.known if data.weights is None else data.weights * ~data.known
    wrong = np.concatenate(([0.0], np.cumsum(missed)))
    ends, sizes = np.unique(group_ends(data.values), return_counts=True)
    starts = np.concatenate(([0], ends))
    return np.repeat(np.diff(wrong[starts]) / np.diff(data.below(starts)), sizes)


def _risks(data: IdScores, weights: Weights) -> NDArray[np.float64]:
    """Mean risk over the coverages that each sample's tie adds, [n].

    A tie of weight T with error rate e, behind samples of weight S with errors E, adds the coverages S + 1 .. S + T, as
    T rows would: ``sum_r (E + e r) / (S + r)`` in closed form, also where T is no whole number.
    """
    from scipy.special import digamma

    unit = 1.0 if (weights == np.floor(weights)).all() else float(weights.mean())
    ends, sizes = np.unique(group_ends(data.values), return_counts=True)
    mass = data.below(np.concatenate(([0], ends))) / unit
    errors = np.concatenate(([0.0], np.cumsum(weights * ~data.known)))[np.concatenate(([0], ends))] / unit
    before, size, rate = mass[:-1], np.diff(mass), np.diff(errors) / np.diff(mass)
    harmonic = digamma(mass[1:] + 1) - digamma(before + 1)
    total = errors[:-1] * harmonic + rate * (size - before * harmonic)
    return np.repeat(total / size, sizes)


def _variance(wrong: NDArray[np.float64], coverage: NDArray[np.float64], weights: Weights | None) -> float:
    """Of ``mean(-wrong log coverage)``: each sample acts by its own term and by the coverage of all beyond it."""
    own = -wrong * np.log(coverage)
    terms = wrong / coverage if weights is None else weights * wrong / coverage
    beyond = np.cumsum(terms[::-1])[::-1] / (len(wrong) if weights is None else weights.sum())
    return variance_of_mean(own - beyond, weights)
