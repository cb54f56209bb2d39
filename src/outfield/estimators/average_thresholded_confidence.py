from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from outfield.errors import UserError
from outfield.estimators.base import Answered, Estimator
from outfield.types import Array


@dataclass(frozen=True)
class AverageThresholdedConfidence(Estimator):
    """The share of the batch whose confidence is above the threshold that as many ID items pass as are right (ATC) [1].

    Parameters
    ----------
    of : ``confidence`` (the largest probability) or ``entropy`` (its negative), after temperature scaling

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.stack([np.linspace(0, 5, 100), np.zeros(100)], axis=1)
    >>> known = Answered(logits, np.r_[np.ones(40, int), np.zeros(60, int)])
    >>> AverageThresholdedConfidence().accuracy(known, Answered(logits[20:]))
    0.75

    References
    ----------
    [1] Garg, Balakrishnan, Lipton, Neyshabur, Sedghi, Leveraging unlabeled data to predict out-of-distribution
    performance, ICLR 2022.
    """

    of: Literal["confidence", "entropy"] = "confidence"

    def __post_init__(self) -> None:
        if self.of not in ("confidence", "entropy"):
            raise UserError(f"Expected confidence or entropy to be thresholded, but got {self.of!r}. Choose one.")

    def accuracy(self, known: Answered, batch: Answered) -> float:
        temperature = known.temperature
        sure, asked = (self._score(one.cooled(temperature)) for one in (known, batch))
        wrong = int((~known.correct).sum())
        if wrong == 0:
            return 1.0
        threshold = np.sort(sure)[wrong - 1]
        return float((asked > threshold).mean())

    def _score(self, some: Answered) -> Array:
        if self.of == "confidence":
            return some.confidence
        p = some.probabilities
        return np.asarray((p * np.log(np.maximum(p, 1e-300))).sum(axis=1))
