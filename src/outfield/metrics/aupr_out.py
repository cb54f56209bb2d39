from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._precision import Interpolation, area, group_ends, group_starts
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class AuprOut(RankingMetric):
    """Area under the precision-recall curve with OOD as the positive class.

    ``step`` is average precision, ``sum_k (R_k - R_{k-1}) P_k``; ``trapezoid`` joins the points by straight lines,
    which is too optimistic [1], and gives the numbers of OpenOOD and pytorch-ood. It moves with the ratio of OOD to
    ID samples: compare it within one data set only. The interval is the logit interval of [2]; there is none for
    weighted samples. ``n`` counts OOD.

    Examples
    --------
    >>> AuprOut()([0.0, 2.0], [1.0, 3.0]).value
    0.8333333333333333

    References
    ----------
    [1] Davis, Goadrich. The Relationship between Precision-Recall and ROC Curves. ICML 2006.
    [2] Boyd, Eng, Page. Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals. ECML 2013.
    """

    interpolation: Interpolation = "step"

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUPR-out"

    def of(self, data: Ranking) -> Estimate:
        known = data.id
        hits = data.mass - data.below(group_starts(data.ood))
        before = data.mass - data.below(group_ends(data.ood))
        stricter = (before, known.mass - data.id_at_most)
        return area(
            hits,
            known.mass - data.id_below,
            stricter,
            self.interpolation,
            weights=data.weights,
            interval=not data.weighted,
        )
