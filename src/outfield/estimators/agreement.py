from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.estimators.base import Answered, Estimator
from outfield.types import Array


@dataclass(frozen=True)
class Agreement(Estimator):
    """How often two models agree on the batch, read as an accuracy by how both go together on ID items [1, 2].

    ``probit(accuracy) = probit(ID accuracy) + probit(agreement) - probit(ID agreement)``: agreement falls as accuracy
    does, on a line of slope one in probit scale. The models must differ in their training, a seed at least.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.tile([[2.0, 0.0], [0.0, 2.0]], (50, 1))
    >>> second = np.r_[logits[:80], -logits[80:]]
    >>> known = Answered(logits, np.r_[logits[:90].argmax(1), 1 - logits[90:].argmax(1)], second)
    >>> round(Agreement().accuracy(known, Answered(logits, second=np.r_[logits[:50], -logits[50:]])), 2)
    0.67

    References
    ----------
    [1] Jiang, Nagarajan, Baek, Kolter, Assessing generalization of SGD via disagreement, ICLR 2022.
    [2] Baek, Jiang, Raghunathan, Kolter, Agreement-on-the-line, NeurIPS 2022.
    """

    needs_second: ClassVar[bool] = True

    def accuracy(self, known: Answered, batch: Answered) -> float:
        rise = _probit(_agreeing(batch)) - _probit(_agreeing(known))
        return float(stats.norm.cdf(_probit(known.correct) + rise))


def _agreeing(some: Answered) -> Array:
    if some.second is None:
        raise UserError("Expected the logits of a second model on the same items, but got none. Pass second=.")
    return np.asarray(some.predicted == some.second.argmax(axis=1))


def _probit(right: Array) -> float:
    """Of a share, half a count away from 0 and 1."""
    return float(stats.norm.ppf(np.clip(right.mean(), 0.5 / len(right), 1 - 0.5 / len(right))))
