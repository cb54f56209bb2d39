from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.errors import UserError
from outfield.metrics._weights import mean
from outfield.metrics.base import Ranking, RankingMetric
from outfield.types import Estimate


@dataclass(frozen=True)
class Autc(RankingMetric):
    """Area under the threshold curve: mean of the areas under FPR and FNR over thresholds in [0, 1] [1].

    Scores are scaled to [0, 1] by the smallest and largest score of both sets. Then the area under
    ``FPR(t) = P(ID > t)`` is the mean ID score, that under ``FNR(t) = P(OOD <= t)`` is one minus the mean OOD score,
    and ``AUTC = (mean_ID + 1 - mean_OOD) / 2``. It is 0.5 where all scores are equal. It depends on the scale of a
    score (``1 - p`` gives another value than ``-log p``): never rank detectors by it without saying so. No interval:
    the two extreme scores that set the scale have no error that a sample could tell.

    Raises
    ------
    UserError
        Infinite scores, which have no scale; ask ``defined`` first.

    Examples
    --------
    >>> Autc()([0.0, 1.0], [3.0, 4.0]).value
    0.125

    References
    ----------
    [1] Humblot-Renaux, Escalera, Moeslund. Beyond AUROC & co. for evaluating out-of-distribution detection
    performance. CVPR Workshops 2023.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "AUTC"

    def of(self, data: Ranking) -> Estimate:
        known, unknown = data.id.values.astype(np.float64), data.ood.astype(np.float64)
        low, high = min(known[0], unknown[0]), max(known[-1], unknown[-1])
        if not np.isfinite([low, high]).all():
            raise UserError(
                f"Expected finite scores, but got scores from {low} to {high}. AUTC scales scores to [0, 1]: "
                "leave it out for this detector, or mend what makes its scores infinite."
            )
        with np.errstate(over="ignore"):
            span = high / 2 - low / 2
        if span == 0:
            return Estimate(0.5, n=data.n)
        far, near = (unknown / 2 - low / 2) / span, (known / 2 - low / 2) / span
        apart = mean(far, data.weights) - mean(near, data.id.weights)
        return Estimate((1 - apart) / 2, n=data.n)

    def defined(self, data: Ranking) -> bool:
        return bool(np.isfinite([data.id.values[[0, -1]], data.ood[[0, -1]]]).all())
