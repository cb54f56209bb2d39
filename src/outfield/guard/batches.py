"""Is this batch like the calibration data, and if not, how much of it certainly is not?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.guard.thresholds import Ladder
from outfield.types import Array


@dataclass(frozen=True, eq=False)
class BatchVerdict:
    """What a ladder's flags say of a batch.

    Parameters
    ----------
    ood_share : float
        Certified lower bound of the share of items that are not drawn as the calibration items were.
    p : float
        Of the hypothesis that all are drawn so.
    shifted : bool
        Whether p is at most ``level``.
    flags : array of int [J]
        Items above each rung.
    n, unscored : int
        Items that count, and those whose score is NaN.
    level : float

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rng = np.random.default_rng(0)
    >>> found = verdict_of_batch(rng.normal(3, 1, 200), ladder(rng.normal(size=5000)))
    >>> found.shifted, found.ood_share > 0.5
    (True, True)
    """

    ood_share: float
    p: float
    shifted: bool
    flags: Array
    n: int
    unscored: int
    level: float


def verdict_of_batch(scores: Any, ladder: Ladder, *, level: float = 0.05) -> BatchVerdict:
    """The certified OOD share of a batch, and a p that it has any, from how many items lie above each rung.

    With c_j of m items above the rung of rate a_j, ``p = min(1, J min_j P(Bin(m, a_j) >= c_j))``; the share is
    ``max_j (L_j - a_j) / (1 - a_j)``, L_j the lower end of Clopper and Pearson's interval of c_j / m at ``level / J``.
    Both hold where the ladder does, which is with probability ``1 - ladder.delta`` over calibrations. An item that the
    detector cannot tell from ID data is not in the share: it is a lower bound.

    Parameters
    ----------
    scores : vector [m]; NaN is counted apart

    Raises
    ------
    UserError
        No score that counts.

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rng = np.random.default_rng(0)
    >>> found = verdict_of_batch(rng.normal(size=500), ladder(rng.normal(size=5000)))
    >>> found.shifted, found.ood_share
    (False, 0.0)
    """
    values = np.asarray(scores, dtype=float).ravel()
    known = values[~np.isnan(values)]
    return verdict_of_counts(
        ladder.flags(known).sum(axis=0), len(known), ladder, unscored=len(values) - len(known), level=level
    )


def verdict_of_counts(counts: Any, n: int, ladder: Ladder, *, unscored: int = 0, level: float = 0.05) -> BatchVerdict:
    """The same from how many of a batch lie above each rung, which adds up over parts of it.

    Parameters
    ----------
    counts : array of int [J]
    n, unscored : int
        Items with a score, and without.

    Raises
    ------
    UserError
        No item with a score.

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rungs = ladder(np.arange(5000.0))
    >>> verdict_of_counts([0] * len(rungs.rates), 500, rungs).p
    1.0
    """
    if not n:
        raise UserError(f"Expected a batch with scores, but all {unscored} are missing. Pass at least one item.")
    counts, rungs = np.asarray(counts), len(ladder.rates)
    tails = stats.binom.sf(counts - 1, n, ladder.rates)
    p = float(min(1.0, rungs * tails.min()))
    lower = np.where(counts > 0, stats.beta.ppf(level / rungs, counts, n - counts + 1), 0.0)
    share = float(np.clip((lower - ladder.rates) / (1 - ladder.rates), 0, 1).max())
    return BatchVerdict(share, p, p <= level, counts, n, unscored, level)
