from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.metrics._intervals import LEVEL, NAN, Z
from outfield.metrics._precision import group_ends
from outfield.metrics._risk_coverage import mean_risk
from outfield.metrics._weights import FEW, Weights, effective, variance_of_mean
from outfield.metrics.base import ErrorMetric, IdScores
from outfield.types import Estimate


@dataclass(frozen=True)
class Aurc(ErrorMetric):
    """Area under the risk-coverage curve: mean over k of the error rate of the k lowest scores [1].

    The selective risk of a model that answers where the score is low. Samples of equal score are taken in every
    order at once (their expected risk), so that the order of the rows is of no account. Weights that are whole numbers
    count as repeated rows; others are scaled to a mean of 1, for the AURC of few rows hangs a little on how many there
    are.

    The interval is Fay and Feuer's for a weighted sum of rare events [2], with the variance of the infinitesimal
    jackknife over the rows, ties included, and Student's quantile for the number of errors. It is lopsided where errors
    are few, and none is given below ten errors, or below ten right answers: their own spread is not known then.

    Examples
    --------
    >>> round(Aurc()([0.1, 0.2, 0.3], [True, False, True]).value, 4)
    0.2778

    References
    ----------
    [1] Geifman, Uziel, El-Yaniv. Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers. ICLR 2019.
    [2] Fay, Feuer. Confidence Intervals for Directly Standardized Rates: A Method Based on the Gamma Distribution.
    Statistics in Medicine 1997.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "AURC"

    def of(self, data: IdScores) -> Estimate:
        value = mean_risk(data.values, ~data.known, data.weights)
        return Estimate(value, *_interval(value, data), len(data))


def _interval(value: float, data: IdScores) -> tuple[float, float]:
    """Of the errors' or, where these are fewer, the right answers' weighted sum; NaN where there are too few."""
    weights = np.ones(len(data)) if data.weights is None else data.weights
    wrong = weights @ ~data.known > weights.sum() / 2
    rare = data.known if wrong else ~data.known
    few = effective(weights[rare]) if rare.any() else 0.0
    if few < FEW:
        return NAN, NAN
    influence, cost = _influence(data, weights)
    variance = variance_of_mean(influence, data.weights) * _students(few - 1) ** 2
    largest = float((weights * cost)[rare].max() / weights.sum())
    low, high = _gamma(1 - value if wrong else value, variance, largest)
    return (1 - high, 1 - low) if wrong else (low, high)


def _students(df: float) -> float:
    """Student's quantile in units of the normal one."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2)) / Z


def _gamma(value: float, variance: float, largest: float) -> tuple[float, float]:
    """Quantiles of the gamma distributions of this mean and variance; above, with one more of the largest events."""
    from scipy.special import gammaincinv

    above, more = value + largest, variance + largest**2
    low = gammaincinv(value**2 / variance, (1 - LEVEL) / 2) * variance / value
    high = gammaincinv(above**2 / more, (1 + LEVEL) / 2) * more / above
    return min(value, float(low)), min(1.0, max(value, float(high)))


def _influence(data: IdScores, weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How each sample moves the area, up to a constant, and what it costs to be wrong there, [n] each.

    The area is ``sum_g integral_0^p (E + r t) / (S + t) dt`` over ties of mass p and error rate r, behind a mass S with
    errors E. A sample adds to the mass and the errors of its own tie, and to what lies before all later ones.
    """
    ends, sizes = np.unique(group_ends(data.values), return_counts=True)
    bounds = np.concatenate(([0], ends))
    mass = data.below(bounds) / weights.sum()
    errors = np.concatenate(([0.0], np.cumsum(weights * ~data.known)))[bounds] / weights.sum()
    before, end, size = mass[:-1], mass[1:], np.diff(mass)
    rate = np.diff(errors) / size
    first = before == 0
    growth = np.where(first, 0.0, np.log(end / np.where(first, 1.0, before)))
    share = before * growth / size
    ahead = errors[:-1] * size / (np.where(first, 1.0, before) * end) + rate * (growth - size / end)
    later = -np.where(first, 0.0, ahead)
    own = errors[:-1] / end - rate * (1 - share) + rate * size / end
    cost = np.repeat(1 - share - np.log(end), sizes)
    return np.repeat(own + np.cumsum(later[::-1])[::-1] - later, sizes) + cost * ~data.known, cost
