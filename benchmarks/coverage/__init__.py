"""Simulated coverage of every interval and size of every test that a page prints.

``python -m benchmarks.coverage [REPETITIONS] [WORDS]`` prints the table (2,000 by default; of the cases whose names
hold the words); ``make coverage`` runs it, on every core. A case yields one truth value a repetition: whether the
interval held the truth, or whether the test rejected. It names the functions whose intervals it checks: a test fails
for a function in the source that builds an interval and has no case.
"""

from . import (
    agreement,
    aurc,
    aurocs,
    boards,
    correlations,
    detectors,
    differences,
    guard,
    kin,
    means,
    metrics,
    partial,
    ranks,
    runs,
    series,
    shape,
    variance,
)
from .case import SIMULATE, Case

__all__ = ["SIMULATE", "Case"]
__all__ += ["agreement", "aurc", "aurocs", "boards", "correlations", "detectors", "differences", "guard", "kin"]
__all__ += ["means", "metrics", "partial", "ranks", "runs", "series", "shape", "variance"]
