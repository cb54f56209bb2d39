from __future__ import annotations

from dataclasses import dataclass

from outfield.estimators.base import Answered, Estimator


@dataclass(frozen=True)
class DifferenceOfConfidences(Estimator):
    """ID accuracy less the fall of the mean confidence from ID items to the batch [1].

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.tile([[2.0, 0.0], [0.0, 2.0]], (50, 1))
    >>> known = Answered(logits, np.r_[np.zeros(50, int), np.ones(50, int)])
    >>> float(known.correct.mean()), round(DifferenceOfConfidences().accuracy(known, Answered(logits / 4)), 2)
    (0.5, 0.24)

    References
    ----------
    [1] Guillory, Shankar, Ebrahimi, Darrell, Schmidt, Predicting with confidence on unseen distributions, ICCV 2021.
    """

    def accuracy(self, known: Answered, batch: Answered) -> float:
        fall = known.confidence.mean() - batch.confidence.mean()
        return float(min(max(known.correct.mean() - fall, 0.0), 1.0))
