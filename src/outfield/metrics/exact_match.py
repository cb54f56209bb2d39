from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.errors import UserError
from outfield.metrics._intervals import wilson
from outfield.metrics.base import MeritMetric, Merits
from outfield.types import Estimate


@dataclass(frozen=True)
class ExactMatch(MeritMetric):
    """Share of items whose whole answer is right (merit 1, else 0), with Wilson's interval [1].

    Examples
    --------
    >>> print(ExactMatch()([1.0, 0.0, 1.0]))
    0.667 [0.208, 0.939] (n = 3)

    References
    ----------
    [1] Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 1927.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "Exact match"

    def of(self, data: Merits) -> Estimate:
        if not self.defined(data):
            raise UserError("Expected merits of 1 (the whole answer is right) or 0, but got others. Compare exactly.")
        share = float(np.mean(data.values))
        return Estimate(share, *wilson(share, len(data)), len(data))

    def defined(self, data: Merits) -> bool:
        return bool(np.isin(data.values, (0.0, 1.0)).all())
