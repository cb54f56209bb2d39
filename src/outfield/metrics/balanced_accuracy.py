from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._intervals import mean_recall
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class BalancedAccuracy(PredictionMetric):
    """Mean over the classes that have samples of the share classified rightly [1].

    The interval joins the classes' Wilson intervals, deviations added in squares (MOVER).

    Examples
    --------
    >>> BalancedAccuracy()([[2.0, 1.0], [2.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [0, 0, 0, 1]).value
    1.0

    References
    ----------
    [1] Brodersen, Ong, Stephan, Buhmann. The balanced accuracy and its posterior distribution. ICPR 2010.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "Balanced accuracy"

    def of(self, data: Predictions) -> Estimate:
        return mean_recall(data.correct, data.labels, data.weights)
