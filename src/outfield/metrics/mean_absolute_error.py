from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._merits import mean_of
from outfield.metrics.base import MeritMetric, Merits
from outfield.types import Estimate


@dataclass(frozen=True)
class MeanAbsoluteError(MeritMetric):
    """Mean distance of the answers from the targets, in the targets' unit: ``mean |y - f(x)| = -mean merit``.

    The interval is Student's for a mean.

    Examples
    --------
    >>> print(MeanAbsoluteError()([-1.0, -2.0, -3.0]))
    2.000 [0.000, 4.484] (n = 3)
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "Mean absolute error"

    def of(self, data: Merits) -> Estimate:
        return mean_of(-data.values, floor=0.0)
