"""When to measure a run."""

from __future__ import annotations

import numpy as np

from outfield.errors import UserError


def log_spaced_then_even(total: int, *, early: int = 8, even: int = 16) -> tuple[int, ...]:
    """Steps to measure at: 0, ``early`` log-spaced up to ``total / even``, then ``even`` at equal distances.

    Steps that fall together count once, so that a short run has fewer. The first is 0 (before training), the last
    is ``total``.

    Raises
    ------
    UserError
        A number below 1 (``early``: below 0).

    Examples
    --------
    >>> log_spaced_then_even(100, early=4, even=5)
    (0, 1, 3, 7, 20, 40, 60, 80, 100)
    """
    if total < 1 or even < 1 or early < 0:
        raise UserError(
            f"Expected total >= 1, even >= 1 and early >= 0, but got {total}, {even} and {early}. Ask for a checkpoint."
        )
    first = max(1.0, total / even)
    steps = [0.0, *np.geomspace(1, first, early), *np.linspace(first, total, even)]
    return tuple(sorted({round(step) for step in steps}))
