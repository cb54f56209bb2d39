"""How large the banks of neighbours are: the papers' rules."""

from __future__ import annotations

_LARGE = 100_000
"""Rows beyond which the papers take a hundredth of the training set."""


def share_of(rows: int) -> float:
    """All rows of a small training set, one in a hundred of a large one.

    Examples
    --------
    >>> share_of(50_000), share_of(1_281_167)
    (1.0, 0.01)
    """
    return 1.0 if rows <= _LARGE else 0.01
