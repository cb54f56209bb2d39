"""Corrections for the number of comparisons made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from outfield.types import Array


def holm(p: Any) -> Array:
    """Holm's step-down p-values: they hold the chance of any false claim. For headline claims.

    Examples
    --------
    >>> holm([0.01, 0.02, 0.5]).tolist()
    [0.03, 0.04, 0.5]

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    return _corrected(p, _step_down)


def _step_down(p: Array) -> Array:
    """The smallest by as many as there are, the next by one fewer, and so on; none below the one before."""
    order = np.argsort(p, kind="stable")
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return found


def benjamini_hochberg(p: Any) -> Array:
    """Benjamini and Hochberg's p-values: they hold the share of false claims. For screens.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, 0.6]).round(3).tolist()
    [0.03, 0.03, 0.6]
    """
    return _corrected(p, stats.false_discovery_control)


def _corrected(p: Any, correct: Callable[[Array], Array]) -> Array:
    values = np.asarray(p, dtype=float)
    out = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    if known.any():
        out[known] = correct(values[known])
    return out
