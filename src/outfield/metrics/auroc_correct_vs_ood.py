from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._ranking import auroc_estimate
from outfield.metrics.base import DiagnosticMetric, Ranking
from outfield.types import Estimate


@dataclass(frozen=True)
class AurocCorrectVsOod(DiagnosticMetric):
    """AUROC of OOD samples against rightly classified ID samples: does it find the unknown where the model is right?

    Interval as for ``Auroc``; the diagnostic of [1]. With accuracy acc,
    ``AUROC = acc * AUROC_correct_vs_ood + (1 - acc) * AUROC_incorrect_vs_ood``.

    Raises
    ------
    UserError
        There is no rightly classified ID sample; ask ``defined`` first.

    Examples
    --------
    >>> AurocCorrectVsOod()([0.1, 0.9], [True, False], [0.5]).value
    1.0

    References
    ----------
    [1] One Model, Many Behaviors: Training-Induced Effects on Out-of-Distribution Detection. arXiv 2601.10836, 2026.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUROC correct vs OOD"

    def of(self, data: Ranking) -> Estimate:
        return auroc_estimate(Ranking(data.id.part(True), data.ood, data.weights))

    def defined(self, data: Ranking) -> bool:
        return bool(data.id.count(True))
