from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from outfield.metrics._merits import mean_of
from outfield.metrics.base import MeritMetric, Merits
from outfield.types import Estimate


@dataclass(frozen=True)
class RootMeanSquaredError(MeritMetric):
    """Root of the mean squared distance of the answers from the targets, in the targets' unit.

    ``sqrt(mean merit^2)``, where the merit is minus the distance. The interval is the root of Student's for the
    mean of the squares.

    Examples
    --------
    >>> print(RootMeanSquaredError()([-1.0, -2.0, -2.0]))
    1.732 [0.000, 2.702] (n = 3)
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "Root mean squared error"

    def of(self, data: Merits) -> Estimate:
        squared = mean_of(data.values**2, floor=0.0)
        return Estimate(sqrt(squared.value), sqrt(squared.low), sqrt(squared.high), len(data))
