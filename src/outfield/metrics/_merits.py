"""How good a model's answers are, item by item, and what a detector said of the same items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.errors import UserError
from outfield.metrics._arrays import numbers
from outfield.metrics._intervals import LEVEL, NAN, of_influence
from outfield.types import Estimate

LARGEST = 1e150
"""Merits from here on have no square."""


@dataclass(frozen=True, eq=False)
class Merits:
    """Merits of items, higher is better, and scores of a detector for the same items where one is asked.

    Parameters
    ----------
    values : array [n]
    scores : array [n], optional
        Higher is further out.

    Raises
    ------
    UserError
        No items; NaN or infinite merits; as many scores as merits are not there.

    Examples
    --------
    >>> len(Merits([-0.5, -2.0, 0.0]))
    3
    """

    values: NDArray[Any]
    scores: NDArray[Any] | None = None

    def __init__(self, values: ArrayLike, scores: ArrayLike | None = None) -> None:
        merits = numbers(values, "merits").astype(np.float64)
        said = None if scores is None else numbers(scores, "scores").astype(np.float64)
        if merits.ndim != 1 or not merits.size or (said is not None and said.shape != merits.shape):
            beside = "" if said is None else f" and scores {list(said.shape)}"
            raise UserError(
                f"Expected merits [n] with n >= 1, and a score for each, but got {list(merits.shape)}{beside}. "
                "Pass both of the same items."
            )
        if said is not None and (bad := int(np.isnan(said).sum())):
            raise UserError(
                f"Expected scores that are numbers, but got {bad} NaN of {len(said)}. Leave these items out."
            )
        if bad := int((~(np.abs(merits) < LARGEST)).sum()):
            raise UserError(
                f"Expected merits below {LARGEST:g} in size, but got NaN, infinity or larger ones for {bad} of "
                f"{len(merits)} items. Look at the model's answers and at the targets of these items."
            )
        object.__setattr__(self, "values", merits)
        object.__setattr__(self, "scores", said)

    def __len__(self) -> int:
        return len(self.values)


def mean_of(values: NDArray[Any], floor: float = -np.inf) -> Estimate:
    """Mean of independent values with Student's interval, cut at ``floor``; none where all values are the same.

    Examples
    --------
    >>> print(mean_of(np.array([1.0, 2.0, 3.0])))
    2.000 [-0.484, 4.484] (n = 3)
    """
    from scipy.stats import t

    n = len(values)
    variance = float(values.var(ddof=1)) / n if values.min() < values.max() else NAN
    return of_influence(float(values.mean()), variance, n, floor, np.inf, quantile=float(t.ppf((1 + LEVEL) / 2, n - 1)))
