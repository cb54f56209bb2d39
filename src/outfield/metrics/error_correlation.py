from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh
from typing import ClassVar

import numpy as np

from outfield.errors import UserError
from outfield.metrics._intervals import Z
from outfield.metrics.base import MeritMetric, Merits
from outfield.types import Estimate


@dataclass(frozen=True)
class ErrorCorrelation(MeritMetric):
    """Spearman's rank correlation of a detector's scores with the error (minus the merit) of the same items.

    1 where the worst answers have the highest scores, 0 where the scores say nothing of the error. The interval is
    Fisher's with the variance ``(1 + r^2 / 2) / (n - 3)`` of Bonett and Wright [1].

    Examples
    --------
    >>> print(ErrorCorrelation()([-1.0, -2.0, -3.0, -4.0, -5.0], [0.1, 0.2, 0.4, 0.3, 0.5]))
    0.900 [-0.169, 0.996] (n = 5)

    References
    ----------
    [1] Bonett, Wright. Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
        Psychometrika 2000.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "Rank correlation of score and error"
    of_detector: ClassVar[bool] = True

    def of(self, data: Merits) -> Estimate:
        from scipy.stats import rankdata

        if data.scores is None or data.scores.min() == data.scores.max() or data.values.min() == data.values.max():
            raise UserError("Expected scores and merits that vary, but all are the same. Pass more items.")
        r = float(np.corrcoef(rankdata(data.scores), rankdata(-data.values))[0, 1])
        n = len(data)
        if n <= 3 or abs(r) >= 1:
            return Estimate(r, n=n)
        width = Z * sqrt((1 + r * r / 2) / (n - 3))
        return Estimate(r, tanh(atanh(r) - width), tanh(atanh(r) + width), n)

    def defined(self, data: Merits) -> bool:
        return data.scores is not None and len(np.unique(data.values)) > 2 and len(np.unique(data.scores)) > 1
