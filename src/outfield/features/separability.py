"""How far a linear function of the features tells two sets apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

DECAY = 1e-2
"""Ridge penalty, as a share of the number of items, on standardised features."""


def linear_separability(known: NDArray[Any], unknown: NDArray[Any]) -> float:
    """AUROC of the linear discriminant of two sets of features, each item judged by the others: 0.5 to 1 [1].

    Least squares with a ridge on standardised features, both sets of one weight; the prediction of an item that was
    left out is ``(p_i - h_i y_i) / (1 - h_i)`` with h the diagonal of the hat matrix. No detector may know it: it says
    how much of the OOD set a linear function of these features could tell at best.

    Parameters
    ----------
    known, unknown : array [n, D] and [m, D]

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> apart = linear_separability(rng.normal(size=(300, 5)), rng.normal(3, 1, (200, 5)))
    >>> alike = linear_separability(rng.normal(size=(300, 5)), rng.normal(size=(200, 5)))
    >>> round(apart, 2), abs(alike - 0.5) < 0.06
    (1.0, True)

    References
    ----------
    [1] Miyai, Yu, Irie, Aizawa. Can Pre-trained Networks Detect Familiar Out-of-Distribution Data? 2023.
    """
    x = np.concatenate([known, unknown]).astype(np.float64)
    n, m = len(known), len(unknown)
    y = np.repeat([-1.0, 1.0], [n, m])
    weight = np.repeat([0.5 / n, 0.5 / m], [n, m]) * (n + m)
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    z = np.column_stack([np.ones(n + m), z])
    penalty = DECAY * (n + m) * np.eye(z.shape[1])
    penalty[0, 0] = 0
    solved = np.linalg.solve((z.T * weight) @ z + penalty, z.T * weight)
    leverage = np.einsum("nd,dn->n", z, solved)
    left_out = (z @ (solved @ y) - leverage * y) / (1 - leverage)
    ranks = rankdata(left_out)
    auroc = (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
    return float(max(auroc, 1 - auroc))
