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
    """
    return _corrected(p, _step_down)


def _step_down(p: Array) -> Array:
    """As statsmodels' multipletests, which collects all garbage of the process at each call: .1 s and more."""
    order = np.argsort(p)
    found = np.empty(len(p))
    found[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(found, 1.0)


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
