from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._intervals import share
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class Accuracy(PredictionMetric):
    """Share of samples whose largest logit is the label's, with Wilson's interval [1].

    Examples
    --------
    >>> print(Accuracy()([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]], [0, 1, 1]))
    0.667 [0.208, 0.939] (n = 3)

    References
    ----------
    [1] Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 1927.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "Accuracy"

    def of(self, data: Predictions) -> Estimate:
        return Estimate(*share(data.correct, data.weights), len(data))
