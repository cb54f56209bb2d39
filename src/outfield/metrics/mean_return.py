from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._merits import mean_of
from outfield.metrics.base import MeritMetric, Merits
from outfield.types import Estimate


@dataclass(frozen=True)
class MeanReturn(MeritMetric):
    """Mean return of episodes, in the reward's unit. The interval is Student's for a mean.

    Examples
    --------
    >>> print(MeanReturn()([1.0, 2.0, 3.0]))
    2.000 [-0.484, 4.484] (n = 3)
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "Mean return"

    def of(self, data: Merits) -> Estimate:
        return mean_of(data.values)
