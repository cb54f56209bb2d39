from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.metrics._quantiles import share_at_rank
from outfield.metrics._weights import worth
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class FprAt95Ood(RankingMetric):
    """Share of ID samples flagged at the threshold that catches 95% of the OOD samples.

    The threshold t is the largest OOD score with at least 95% of OOD scores >= t; a sample is flagged where its
    score >= t. OpenOOD's convention [1]; that of most method papers is ``fpr_at_95_id``. The interval joins the
    binomial error of the share and the sampling error of the threshold (MOVER); ``n`` is the number of ID samples.

    Examples
    --------
    >>> FprAt95Ood()([0, 5, 6, 200], range(100)).value
    0.75

    References
    ----------
    [1] Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "FPR at 95% OOD caught"

    def of(self, data: Ranking) -> Estimate:
        known = data.id

        def flagged(rank: int) -> tuple[float, float]:
            place = int(np.searchsorted(known.values, data.ood[-rank], side="left"))
            if known.weights is None:
                return 1 - place / data.n_id, data.n_id
            return 1 - float(known.below(place)) / known.mass, worth(np.arange(data.n_id) >= place, known.weights)

        highest_first = None if data.weights is None else data.weights[::-1]
        return share_at_rank(flagged, data.n_ood, data.n_id, percent=95, weights=highest_first)
