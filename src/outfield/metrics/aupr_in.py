from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._precision import Interpolation, area, group_ends, group_starts
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class AuprIn(RankingMetric):
    """Area under the precision-recall curve with ID as the positive class and the score's sign turned.

    ``step`` is average precision, ``trapezoid`` what OpenOOD and pytorch-ood compute (see ``AuprOut``). The interval
    is the logit interval of [1]; there is none for weighted samples. ``n`` counts ID samples.

    Examples
    --------
    >>> AuprIn()([0.0, 2.0], [1.0, 3.0]).value
    0.8333333333333333

    References
    ----------
    [1] Boyd, Eng, Page. Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals. ECML 2013.
    """

    interpolation: Interpolation = "step"

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "AUPR-in"

    def of(self, data: Ranking) -> Estimate:
        known = data.id
        hits, before = known.below(group_ends(known.values)), known.below(group_starts(known.values))
        stricter = (before, data.mass - data.ood_at_least)
        return area(
            hits,
            data.mass - data.ood_above,
            stricter,
            self.interpolation,
            weights=known.weights,
            interval=not data.weighted,
        )
