from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from outfield.metrics._intervals import of_influence, quantile
from outfield.metrics._weights import mean, variance_of_mean
from outfield.metrics.base import PredictionMetric, Predictions
from outfield.types import Estimate

UNIFORM = 1e-3
"""Share of the uniform distribution in the constant answer: a class without labels is rare, not impossible."""
CHUNK = 8192


@dataclass(frozen=True)
class DistanceToConstant(PredictionMetric):
    """How far predictions are from the best constant answer, ``mean KL(p || c*)`` in nats [1].

    The optimal constant solution of cross-entropy is the share of each label in the set, ``c*``. A classifier that says
    nothing of its input is at 0; one that is sure of a class on balanced labels of C classes is at ``log C``. The
    interval is the normal one, by the delta method, for labels are drawn with the items.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.array([[9.0, -9.0], [-9.0, 9.0]])
    >>> round(DistanceToConstant()(sure, [0, 1]).value, 4), round(DistanceToConstant()(0 * sure, [0, 1]).value, 4)
    (0.6931, 0.0)

    References
    ----------
    [1] Kang et al. Deep Neural Networks Tend To Extrapolate Predictably. ICLR 2024.
    """

    higher_is_better: ClassVar[bool] = True
    label: ClassVar[str] = "distance to the constant answer"

    def of(self, data: Predictions) -> Estimate:
        hot = np.eye(data.n_classes)[data.labels]
        shares = np.array([mean(column, data.weights) for column in hot.T])
        constant = (1 - UNIFORM) * shares + UNIFORM / data.n_classes
        divergence, said = _divergences(data, constant)
        average = np.array([mean(column, data.weights) for column in said.T])
        influence = divergence - (1 - UNIFORM) * (average / constant)[data.labels]
        variance = variance_of_mean(influence, data.weights) if np.ptp(influence) > 0 else float("nan")
        value = max(0.0, mean(divergence, data.weights))
        return of_influence(value, variance, len(data), 0.0, np.inf, quantile=quantile(data.weights))


def _divergences(data: Predictions, constant: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """KL of each row's probabilities from the constant [n], and the probabilities [n, C]."""
    found = []
    for start in range(0, len(data), CHUNK):
        log_p = log_softmax(data.logits[start : start + CHUNK].astype(np.float64), axis=1)
        found.append(((np.exp(log_p) * (log_p - np.log(constant))).sum(axis=1), np.exp(log_p)))
    divergence, said = zip(*found, strict=True)
    return np.concatenate(divergence), np.concatenate(said)
