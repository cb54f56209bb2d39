"""Rows of a published board: its winner, and those that do not fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy import stats as theory

from outfield import stats
from outfield.reports.findings.outliers import _far

from .case import HOLDS, Rng, case, normal_pair


@case(
    "the set of rows alike holds the truly best of 40, errors of .3 to 1.2 spreads",
    "coverage",
    (0.94, 1.0),
    covers=("stats.winner.winner",),
)
def _(rng: Rng) -> bool:
    truth, errors = rng.normal(size=40), rng.uniform(0.3, 1.2, 40)
    found = stats.winner(truth + errors * rng.normal(size=40), errors)
    return f"row {truth.argmax()}" in found.alike


@case(
    "a row out of line in a table without one, n = 60, r = .9",
    "size",
    (0.0, 0.05),
    covers=("stats.outliers.out_of_line",),
)
def _(rng: Rng) -> bool:
    return len(stats.out_of_line(*normal_pair(rng, 60, 0.9)).rows) > 0


@case(
    "an accuracy far from its kin's in a family without one, 24 rows",
    "size",
    HOLDS,
    covers=("reports.findings.outliers._far",),
)
def _(rng: Rng) -> bool:
    accuracy = theory.logistic.cdf(1 + 0.3 * rng.normal(size=24))
    measures = SimpleNamespace(id="accuracy", column=lambda _: accuracy, names=[f"m{i}" for i in range(24)])
    return bool(list(_far(SimpleNamespace(measures=measures), "f", np.arange(24))))  # type: ignore[arg-type]
