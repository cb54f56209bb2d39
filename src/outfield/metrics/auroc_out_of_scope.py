from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._ranking import auroc_estimate
from outfield.metrics._scope import out_of_scope
from outfield.metrics.base import DiagnosticMetric, Ranking
from outfield.types import Estimate


@dataclass(frozen=True)
class AurocOutOfScope(DiagnosticMetric):
    """AUROC of all that the model gets wrong, OOD or not, against what it gets right: its out-of-model scope [1, 2].

    Positive is a wrong prediction whatever the cause: an OOD input, which has no right answer, or an ID input
    (shifted ones too, among full-spectrum measures) that is misclassified. With W wrong ID inputs and M of OOD it is
    ``(W AUROC_correct_vs_incorrect + M AUROC_correct_vs_ood) / (W + M)``; of a model without errors it is the AUROC.
    The weight of both causes is that of the two sets as they are. Interval as for ``Auroc``.

    Raises
    ------
    UserError
        There is no rightly classified ID sample; ask ``defined`` first.

    Examples
    --------
    >>> AurocOutOfScope()([0.1, 0.2, 0.9], [True, False, True], [0.5, 0.6]).value
    0.5

    References
    ----------
    [1] Guerin, Delmas, Ferreira, Guiochet. Out-Of-Distribution Detection Is Not All You Need. AAAI 2023.
    [2] Averly, Chao. Unified Out-Of-Distribution Detection: A Model-Specific Perspective. ICCV 2023.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUROC out of model scope"

    def of(self, data: Ranking) -> Estimate:
        return auroc_estimate(out_of_scope(data))

    def defined(self, data: Ranking) -> bool:
        return bool(data.id.count(True))
