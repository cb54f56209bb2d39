from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError
from outfield.metrics._intervals import of_influence, quantile, share
from outfield.metrics._weights import variance_of_mean
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class Ece(PredictionMetric):
    """Expected calibration error of the largest softmax probability, in equal-width bins [1].

    ``sum_b n_b / n |accuracy_b - confidence_b|`` over bins ``(k / 15, (k + 1) / 15]``. The interval is the normal one
    with the variance of ``sign_b (confidence_i - correct_i)``. A binned ECE is biased upwards, at most by what a
    calibrated model with these confidences shows on average, ``sum_b sqrt(2 / pi sum_{i in b} c_i (1 - c_i)) / n``: the
    lower end reaches further by that much. Where all predictions are right, or all wrong, both ends reach as far as
    Wilson's interval of the accuracy allows. Simulated coverage is .93 to 1, the latter near perfect calibration.

    Examples
    --------
    >>> round(Ece()(np.log([[0.9, 0.1], [0.9, 0.1]]), [0, 1]).value, 6)
    0.4

    References
    ----------
    [1] Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017.
    """

    bins: int = 15

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "ECE"

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise UserError(f"Expected at least 1 bin, but got {self.bins}. The field's standard is 15.")

    def of(self, data: Predictions) -> Estimate:
        over, n, total = data.confidence - data.correct, len(data), mass(data)
        bin_of = np.clip(np.ceil(data.confidence * self.bins).astype(int) - 1, 0, self.bins - 1)
        gaps = np.bincount(bin_of, over if data.weights is None else data.weights * over, minlength=self.bins)
        variance = variance_of_mean(np.sign(gaps)[bin_of] * over, data.weights)
        estimate = of_influence(float(np.abs(gaps).sum()) / total, variance, n, quantile=quantile(data.weights))
        return _spread(estimate, _when_calibrated(bin_of, data), data)


def mass(data: Predictions) -> float:
    """The samples' number, or the sum of their weights.

    Examples
    --------
    >>> mass(Predictions([[1.0, 0.0], [0.0, 1.0]], [0, 1], weights=[2.0, 0.5]))
    2.5
    """
    return len(data) if data.weights is None else float(data.weights.sum())


def _when_calibrated(bin_of: NDArray[np.int64], data: Predictions) -> float:
    """Mean ECE of a calibrated model with these confidences, by the normal law of each bin's gap."""
    variances = data.confidence * (1 - data.confidence)
    variances = variances if data.weights is None else data.weights**2 * variances
    return float(np.sqrt(2 / np.pi * np.bincount(bin_of, variances)).sum()) / mass(data)


def _spread(estimate: Estimate, bias: float, data: Predictions) -> Estimate:
    """The interval lowered by the bias; where all predictions are right, or all wrong, as wide as Wilson's at least."""
    if isnan(estimate.low):
        return estimate
    right, low, high = share(data.correct, data.weights)
    reach = high - low if right in {0.0, 1.0} else 0.0
    lower, upper = estimate.value - reach, max(estimate.value, reach - estimate.value)
    return replace(estimate, low=max(0.0, min(estimate.low - bias, lower)), high=min(1.0, max(estimate.high, upper)))
