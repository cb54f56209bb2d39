from __future__ import annotations

from dataclasses import dataclass

from outfield.estimators.base import Answered, Estimator


@dataclass(frozen=True)
class AverageConfidence(Estimator):
    """The mean of the largest probability, after temperature scaling on the ID labels [1].

    Right wherever the scaled probabilities are calibrated on the batch too.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = 2 * rng.normal(size=(4000, 3))
    >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> known, batch = Answered(4 * logits, labels), Answered(4 * logits[:1000])
    >>> bool(abs(AverageConfidence().accuracy(known, batch) - known.correct[:1000].mean()) < 0.03)
    True

    References
    ----------
    [1] Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML 2017.
    """

    def accuracy(self, known: Answered, batch: Answered) -> float:
        return float(batch.cooled(known.temperature).confidence.mean())
