"""What a model is not to be trusted with: OOD inputs and those that it gets wrong, against those that it gets right."""

from __future__ import annotations

import numpy as np

from outfield.metrics._ranking import Ranking


def out_of_scope(data: Ranking) -> Ranking:
    """Rightly classified inputs against all others: those that are wrong, and every OOD input.

    Raises
    ------
    UserError
        No ID input is classified rightly, or it is not known which are.

    Examples
    --------
    >>> from outfield.metrics.base import IdScores
    >>> scoped = out_of_scope(IdScores([0.1, 0.9, 0.2], correct=[True, False, True]).against([0.5, 0.4]))
    >>> scoped.id.values, scoped.ood
    (array([0.1, 0.2]), array([0.4, 0.5, 0.9]))
    """
    right = data.id.part(True)
    if not data.id.count(False):
        return Ranking(right, data.ood, data.weights)
    wrong = data.id.part(False)
    scores = np.concatenate([wrong.values, data.ood])
    if not data.weighted:
        return Ranking(right, np.sort(scores))
    masses = [np.ones(len(v)) if w is None else w for v, w in ((wrong.values, wrong.weights), (data.ood, data.weights))]
    order = np.argsort(scores, kind="stable")
    return Ranking(right, scores[order], np.concatenate(masses)[order])
