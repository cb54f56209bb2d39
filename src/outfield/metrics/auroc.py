from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._ranking import auroc_estimate
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class Auroc(RankingMetric):
    """Area under the ROC curve, ``P(ID < OOD) + P(ID = OOD) / 2``: the share of pairs in the right order [1].

    Exact, in O(n log n). The interval is DeLong's [2] on the logit scale. With fewer than 10 samples of either kind,
    and under complete separation, it is Wilson's for the smaller of both; there is none for a single sample.

    Examples
    --------
    >>> print(Auroc()([0.1, 0.2, 0.3, 0.4], [0.3, 0.5, 0.6]))
    0.875 [0.339, 0.990] (n = 7)

    References
    ----------
    [1] Hanley, McNeil. The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve.
    Radiology 1982.
    [2] DeLong, DeLong, Clarke-Pearson. Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves. Biometrics 1988.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUROC"

    def of(self, data: Ranking) -> Estimate:
        return auroc_estimate(data)
