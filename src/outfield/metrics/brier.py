from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._intervals import of_mean
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class Brier(PredictionMetric):
    """Brier score over all classes, ``mean(sum_c (p_c - 1[c = label])^2)`` in [0, 2] [1].

    Brier's own definition: twice the one-sided score that is usual for two classes. Interval of a mean.

    Examples
    --------
    >>> import numpy as np
    >>> round(Brier()(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1]).value, 4)
    0.3125

    References
    ----------
    [1] Brier. Verification of Forecasts Expressed in Terms of Probability. Monthly Weather Review 1950.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "Brier score"

    def of(self, data: Predictions) -> Estimate:
        return of_mean(data.squared_error, data.weights, floor=0.0, ceiling=2.0)
