from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError
from outfield.metrics._intervals import NAN, of_influence
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class Ece(PredictionMetric):
    """Expected calibration error of the largest softmax probability, in equal-width bins [1].

    ``sum_b n_b / n |accuracy_b - confidence_b|`` over bins ``(k / 15, (k + 1) / 15]``. The interval is the normal one
    with the variance of ``sign_b (confidence_i - correct_i)``. A binned ECE is biased upwards, at most by what a
    calibrated model with these confidences shows on average, ``sum_b sqrt(2 / pi sum_{i in b} c_i (1 - c_i)) / n``: the
    lower end reaches further by that much. Simulated coverage is .93 to 1, the latter near perfect calibration.

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
        over, n = data.confidence - data.correct, len(data)
        bin_of = np.clip(np.ceil(data.confidence * self.bins).astype(int) - 1, 0, self.bins - 1)
        gaps = np.bincount(bin_of, over, minlength=self.bins)
        signed = np.sign(gaps)[bin_of] * over
        estimate = of_influence(float(np.abs(gaps).sum()) / n, float(signed.var(ddof=1)) / n if n > 1 else NAN, n)
        return replace(estimate, low=_lowered(estimate.low, _when_calibrated(bin_of, data.confidence)))


def _when_calibrated(bin_of: NDArray[np.int64], confidence: NDArray[np.float64]) -> float:
    """Mean ECE of a calibrated model with these confidences, by the normal law of each bin's gap."""
    spread = np.sqrt(2 / np.pi * np.bincount(bin_of, confidence * (1 - confidence)))
    return float(spread.sum()) / len(confidence)


def _lowered(low: float, by: float) -> float:
    return low if isnan(low) else max(0.0, low - by)
