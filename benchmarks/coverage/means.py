"""Means and shares."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import stats
from outfield.reports.comparison import logs
from outfield.reports.comparison.sets import _published
from outfield.stats import intervals
from outfield.stats.units import unit_means

from .case import COVERS, Rng, case, inside
from .correlations import seeds

LOGS, PUBLISHED = ("reports.comparison.logs.ends",), ("reports.comparison.sets._published",)


@case("mean of 200 items from its published standard error", "coverage", COVERS, covers=LOGS)
def _(rng: Rng) -> bool:
    right = rng.random(200) < 0.8
    found = logs.ends(right.mean(), float(right.std(ddof=1) / np.sqrt(200)))
    return bool(found["low"] <= 0.8 <= found["high"])


@case("mean of 200 items of a log, for want of the other's items", "coverage", COVERS, covers=PUBLISHED)
def _(rng: Rng) -> bool:
    right = (rng.random(200) < 0.8).astype(float)
    items = pl.DataFrame({"set": "a", "metric": "accuracy", "score": right})
    return inside(_published(logs.Log("m", items, pl.DataFrame(schema=logs.VALUES)), ("a", "accuracy")), 0.8)


@case("published mean of 5 runs, Student", "coverage", COVERS, covers=("stats.published.published_mean",))
def _(rng: Rng) -> bool:
    x = rng.normal(size=5)
    return inside(stats.published_mean(x.mean(), x.std(ddof=1), 5), 0.0)


@case("bootstrap of a mean, BCa, n = 30", "coverage", (0.88, 0.975), covers=("stats.intervals.bootstrap",))
def _(rng: Rng) -> bool:
    found = intervals.bootstrap(np.mean, rng.exponential(size=30), draws=300, seed=int(rng.integers(1e9)))
    return inside(found, 1.0)


@case("share of 20, Wilson", "coverage", (0.93, 1.0), covers=("stats.intervals.wilson",))
def _(rng: Rng) -> bool:
    low, high = intervals.wilson(float(rng.binomial(20, 0.9)), 20)
    return bool(low <= 0.9 <= high)


def _students(n: int) -> None:
    @case(f"Student's interval of a mean over {n} runs", "coverage", COVERS, "what pages of trajectories show")
    def run(rng: Rng) -> bool:
        values = rng.normal(size=n)
        half = theory.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        return bool(abs(values.mean()) <= half)


for _n in (3, 8):
    _students(_n)


@case("jackknife of a mean, n = 20", "coverage", COVERS, covers=("stats.intervals._groups",))
def _(rng: Rng) -> bool:
    values = rng.exponential(size=20)
    low, high = intervals.jackknife(values.mean(), (values.sum() - values) / 19)
    return bool(low <= 1 <= high)


@case("unit means of seeds, Student over 12 strategies", "coverage", COVERS)
def _(rng: Rng) -> bool:
    x, _, group = seeds(rng)
    means = unit_means(x, group)
    low, high = intervals.jackknife(means.mean(), (means.sum() - means) / 11)
    return bool(low <= 0 <= high)
