from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._ranking import auroc_estimate
from outfield.metrics.base import ErrorMetric, IdScores, Ranking
from outfield.types import Estimate


@dataclass(frozen=True)
class AurocCorrectVsIncorrect(ErrorMetric):
    """AUROC of wrongly against rightly classified ID samples: does the score predict the model's errors [1]?

    Errors are the positive class. Interval as for ``Auroc``.

    Raises
    ------
    UserError
        All predictions are right, or all are wrong; ask ``defined`` first.

    Examples
    --------
    >>> AurocCorrectVsIncorrect()([0.1, 0.2, 0.3], [True, True, False]).value
    1.0

    References
    ----------
    [1] Hendrycks, Gimpel. A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks. ICLR 2017.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUROC correct vs incorrect"

    def of(self, data: IdScores) -> Estimate:
        wrong = data.part(False)
        return auroc_estimate(Ranking(data.part(True), wrong.values, wrong.weights))

    def defined(self, data: IdScores) -> bool:
        return bool(data.count(True) and data.count(False))
