"""Corrections for the number of comparisons made."""

from __future__ import annotations

from typing import Any

import numpy as np

from outfield.types import Array


def holm(p: Any) -> Array:
    """Holm's step-down p-values: they hold the chance of any false claim. For headline claims.

    Examples
    --------
    >>> holm([0.01, 0.02, 0.5]).tolist()
    [0.03, 0.04, 0.5]
    """
    return _corrected(p, "holm")


def benjamini_hochberg(p: Any) -> Array:
    """Benjamini and Hochberg's p-values: they hold the share of false claims. For screens.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, 0.6]).round(3).tolist()
    [0.03, 0.03, 0.6]
    """
    return _corrected(p, "fdr_bh")


def _corrected(p: Any, method: str) -> Array:
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=float)
    out = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    if known.any():
        out[known] = multipletests(values[known], method=method)[1]
    return out
