from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from outfield.metrics._intervals import of_mean
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate


@dataclass(frozen=True)
class Nll(PredictionMetric):
    """Negative log-likelihood, ``mean(-log p_label)``, in nats, with the normal interval of a mean.

    Examples
    --------
    >>> import numpy as np
    >>> round(Nll()(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1]).value, 4)
    0.4904

    References
    ----------
    [1] Good. Rational Decisions. Journal of the Royal Statistical Society B 1952.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "NLL"

    def of(self, data: Predictions) -> Estimate:
        return of_mean(-data.log_likelihood, data.weights, floor=0.0)
