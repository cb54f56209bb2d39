from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.metrics._intervals import NAN, of_influence
from outfield.metrics._precision import group_ends
from outfield.metrics.base import ErrorMetric, IdScores
from outfield.types import Estimate


@dataclass(frozen=True)
class Aurc(ErrorMetric):
    """Area under the risk-coverage curve: mean over k of the error rate of the k lowest scores [1].

    The selective risk of a model that answers where the score is low. Samples of equal score are taken in every
    order at once (their expected risk), so that the order of the rows is of no account. The interval is the normal
    one with the infinitesimal jackknife's variance; none where every prediction is right, or every one wrong.

    Examples
    --------
    >>> round(Aurc()([0.1, 0.2, 0.3], [True, False, True]).value, 4)
    0.2778

    References
    ----------
    [1] Geifman, Uziel, El-Yaniv. Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers. ICLR 2019.
    """

    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "AURC"

    def of(self, data: IdScores) -> Estimate:
        wrong = _shared_among_ties(data)
        n = len(wrong)
        answered = np.arange(1, n + 1)
        value = float(np.mean(np.cumsum(wrong) / answered))
        degenerate = data.count(True) in {0, n}
        return of_influence(value, NAN if degenerate else _variance(wrong, answered / n), n)


def _shared_among_ties(data: IdScores) -> NDArray[np.float64]:
    """Errors in the order of the scores, those of a tie spread evenly over it, [n]."""
    wrong = np.concatenate(([0.0], np.cumsum(~data.known)))
    ends, sizes = np.unique(group_ends(data.values), return_counts=True)
    return np.repeat(np.diff(wrong[np.concatenate(([0], ends))]) / sizes, sizes)


def _variance(wrong: NDArray[np.float64], coverage: NDArray[np.float64]) -> float:
    """Of ``mean(-wrong log coverage)``: each sample acts by its own term and by the coverage of all beyond it."""
    own = -wrong * np.log(coverage)
    beyond = np.cumsum((wrong / coverage)[::-1])[::-1] / len(wrong)
    influence = own - beyond
    return float(influence.var(ddof=1)) / len(wrong)
