from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.metrics._quantiles import share_at_rank
from outfield.metrics._weights import worth
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class FprAt95Id(RankingMetric):
    """Share of OOD samples accepted at the threshold that keeps 95% of the ID samples.

    The threshold t is the smallest ID score with at least 95% of ID scores <= t; a sample is accepted where its
    score <= t. The convention of most method papers [1]; OpenOOD's is ``fpr_at_95_ood``. The interval joins the
    binomial error of the share and the sampling error of the threshold (MOVER); ``n`` is the number of OOD samples.

    Examples
    --------
    >>> FprAt95Id()(range(100), [50, 94, 95, 200]).value
    0.5

    References
    ----------
    [1] Liang, Li, Srikant. Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks.
    ICLR 2018.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "FPR at 95% ID kept"

    def of(self, data: Ranking) -> Estimate:
        def accepted(rank: int) -> tuple[float, float]:
            place = int(np.searchsorted(data.ood, data.id.values[rank - 1], side="right"))
            if data.weights is None:
                return place / data.n_ood, data.n_ood
            return float(data.below(place)) / data.mass, worth(np.arange(data.n_ood) < place, data.weights)

        return share_at_rank(accepted, data.n_id, data.n_ood, percent=95, weights=data.id.weights)
