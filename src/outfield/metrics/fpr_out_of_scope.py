from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._scope import out_of_scope
from outfield.metrics.base import DiagnosticMetric, Ranking
from outfield.metrics.fpr_at_95_ood import FprAt95Ood
from outfield.types import Estimate


@dataclass(frozen=True)
class FprOutOfScope(DiagnosticMetric):
    """Share of rightly classified inputs rejected where 95% of all that the model gets wrong is [1].

    What is wrong is as for ``auroc_out_of_scope``; threshold and interval as for ``FprAt95Ood``.

    Raises
    ------
    UserError
        There is no rightly classified ID sample; ask ``defined`` first.

    Examples
    --------
    >>> FprOutOfScope()([0.1, 0.3, 0.9], [True, True, False], [0.2, 0.6]).value
    0.5

    References
    ----------
    [1] Averly, Chao. Unified Out-Of-Distribution Detection: A Model-Specific Perspective. ICCV 2023.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "FPR at 95% of the wrong rejected"

    def of(self, data: Ranking) -> Estimate:
        return FprAt95Ood().of(out_of_scope(data))

    def defined(self, data: Ranking) -> bool:
        return bool(data.id.count(True))
