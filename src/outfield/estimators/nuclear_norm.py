from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outfield.estimators.base import Answered, Estimator
from outfield.types import Array

PARTS = 20


@dataclass(frozen=True)
class NuclearNorm(Estimator):
    """The nuclear norm of the batch's probabilities, turned into an accuracy by parts of the ID items [1].

    ``|P|_* / sqrt(n min(n, C))`` is large where answers are sure and spread over classes. ID items are taken half by
    half, from the least sure to the surest; a line of the halves' accuracy on their norm reads the batch's.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = 3 * rng.normal(size=(4000, 5))
    >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> known, batch = Answered(logits, labels), Answered(logits[:2000])
    >>> bool(abs(NuclearNorm().accuracy(known, batch) - known.correct[:2000].mean()) < 0.05)
    True

    References
    ----------
    [1] Deng, Suh, Gould, Zheng, Confidence and dispersity speak: characterizing prediction matrix for unsupervised
    accuracy estimation, ICML 2023.
    """

    def accuracy(self, known: Answered, batch: Answered) -> float:
        norms, accuracies = _of_parts(known)
        if np.ptp(norms) < 1e-12:
            return float(known.correct.mean())
        slope, start = np.polyfit(norms, accuracies, 1)
        return float(np.clip(start + slope * _norm(batch.probabilities), 0.0, 1.0))


def _norm(p: Array) -> float:
    return float(np.linalg.norm(p, "nuc") / np.sqrt(len(p) * min(p.shape)))


def _of_parts(known: Answered) -> tuple[Array, Array]:
    """Norm and accuracy of parts of ID items, from the half of which the model is least sure to the surest half."""
    order = np.argsort(known.confidence, kind="stable")
    size = max(len(order) // 2, 2)
    starts = np.linspace(0, len(order) - size, PARTS).astype(int)
    parts = [order[start : start + size] for start in starts]
    norms = np.array([_norm(known.probabilities[part]) for part in parts])
    return norms, np.array([known.correct[part].mean() for part in parts])
