"""The area under the risk-coverage curve."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats as theory

from outfield import registry

from .case import Rng, case, inside


def errors_by_score(rng: Rng, n: int, level: float, slope: float, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (of so many values, or all different for 0), and whether each prediction is right."""
    z = rng.normal(size=n)
    wrong = rng.random(n) < theory.norm.cdf(level + slope * z)
    return (np.floor(theory.norm.cdf(z) * levels) if levels else z), ~wrong


@cache
def true_aurc(level: float, slope: float, levels: int) -> float:
    return float(
        registry.create("metrics", "aurc")(
            *errors_by_score(np.random.default_rng(0), 1_000_000, level, slope, levels)
        ).value
    )


AURC = ("metrics.aurc._interval", "metrics.aurc._gamma", "metrics.aurc._students")


def _aurc(n: int, shape: tuple[float, float, int], what: str, claimed: tuple[float, float]) -> None:
    @case(f"AURC, {n:,} inputs, {what}", "coverage", claimed, covers=AURC)
    def run(rng: Rng) -> bool | None:
        found = registry.create("metrics", "aurc")(*errors_by_score(rng, n, *shape))
        return None if np.isnan(found.low) else inside(found, true_aurc(*shape))


for _n in (100, 1000):
    for _levels, _text in ((0, "no ties"), (1, "one score"), (2, "two scores"), (5, "five scores")):
        _aurc(_n, (-1.3, 1.0, _levels), f"18% wrong, {_text}", (0.93, 0.98))
_aurc(100, (-1.0, 0.0, 0), "16% wrong, score tells nothing", (0.93, 0.98))
_aurc(100, (-0.3, 0.5, 0), "40% wrong", (0.93, 0.98))
_aurc(100, (0.8, 0.7, 5), "75% wrong, five scores", (0.93, 0.98))
_aurc(1000, (-2.2, 0.0, 0), "1.4% wrong, score tells nothing", (0.93, 0.98))
_aurc(2000, (-3.0, 0.8, 0), "1% wrong", (0.93, 0.99))
_aurc(1000, (-4.0, 2.0, 5), "4% wrong, five scores", (0.93, 0.99))
