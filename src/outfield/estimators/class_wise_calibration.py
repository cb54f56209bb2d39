from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outfield.estimators.base import LEAST, Answered, Estimator
from outfield.types import Array


@dataclass(frozen=True)
class ClassWiseCalibration(Estimator):
    """The mean probability of being right, calibrated for each predicted class by isotonic regression (CBPE) [1].

    A predicted class with fewer than 30 ID items is calibrated with all. Right where whether an answer of a class and a
    confidence is right does not depend on the shift.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = 2 * rng.normal(size=(4000, 3))
    >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> known, batch = Answered(logits**3, labels), Answered(logits[:1000] ** 3)
    >>> bool(abs(ClassWiseCalibration().accuracy(known, batch) - known.correct[:1000].mean()) < 0.03)
    True

    References
    ----------
    [1] Kivimaki, Nurminen et al., Confidence-based estimators for predictive performance in model monitoring,
    arXiv 2407.08649.
    """

    def accuracy(self, known: Answered, batch: Answered) -> float:
        right = _calibrated(known.confidence, known.correct, batch.confidence)
        for number in np.unique(batch.predicted):
            of, asked = known.predicted == number, batch.predicted == number
            if of.sum() >= LEAST:
                right[asked] = _calibrated(known.confidence[of], known.correct[of], batch.confidence[asked])
        return float(right.mean())


def _calibrated(confidence: Array, correct: Array, asked: Array) -> Array:
    """The probability of being right at each asked confidence."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(confidence, correct.astype(float))
    return np.asarray(fitted.predict(asked))
