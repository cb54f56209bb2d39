"""AUROCs, and their differences."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import stats
from outfield.reports.comparison.models import _mean

from .case import COVERS, Rng, case, inside

AUROC = ("metrics._ranking.auroc_estimate", "metrics._ranking.logit_interval")


@case("AUROC .9, DeLong on the logit scale, 200 and 200", "coverage", COVERS, covers=AUROC)
def _(rng: Rng) -> bool:
    shift = np.sqrt(2) * theory.norm.ppf(0.9)
    return inside(stats.delong(rng.normal(size=200), rng.normal(shift, 1, 200)).estimate, 0.9)


def _apart(known: int, unknown: int, auroc: float, claimed: tuple[float, float] | None, note: str = "") -> None:
    @case(f"AUROC {auroc:g}, DeLong on the logit scale, {known:,} and {unknown:,}", "coverage", claimed, note)
    def run(rng: Rng) -> bool:
        shift = np.sqrt(2) * theory.norm.ppf(auroc)
        return inside(stats.delong(rng.normal(size=known), rng.normal(shift, 1, unknown)).estimate, auroc)


_apart(5000, 2, 0.9, (0.95, 1.0), "Wilson's, as for fewer than 10 of a kind")
_apart(5000, 9, 0.9, (0.95, 1.0), "Wilson's")
_apart(9, 5000, 0.99, (0.95, 1.0), "Wilson's")
_apart(5000, 10, 0.9, None, "too narrow: few of one kind, many of the other")
_apart(5000, 30, 0.9, (0.90, 0.975))
_apart(5000, 100, 0.99, None, "too narrow: one OOD input is expected to be taken for ID")


def _saturated(unknown: int, claimed: tuple[float, float]) -> None:
    @case(f"AUROC, 5,000 and {unknown} of which 95% have one score", "coverage", claimed)
    def run(rng: Rng) -> bool:
        scores = np.where(rng.random(unknown) < 0.95, 2.0, -1.0)
        truth = 0.05 * theory.norm.cdf(-1) + 0.95 * theory.norm.cdf(2)
        return inside(stats.delong(rng.normal(size=5000), scores).estimate, float(truth))


for _size in (10, 20, 50):
    _saturated(_size, (0.93, 1.0))


@case(
    "paired AUROCs, equal detectors, 200 and 200",
    "size",
    (0.03, 0.065),
    covers=("metrics._ranking.delong_difference",),
)
def _(rng: Rng) -> bool:
    base = rng.normal(size=200), 1.5 + rng.normal(size=200)
    noisy = {name: tuple(part + 0.5 * rng.normal(size=200) for part in base) for name in "ab"}
    return bool(stats.compare_aurocs(noisy).frame()["p"][0] < 0.05)


MEAN = ("reports.comparison.models._mean",)


@case("mean AUROC of 4 sets from their intervals, ID inputs in common", "coverage", (0.93, 1.0), covers=MEAN)
def _(rng: Rng) -> bool:
    known = rng.normal(size=200)
    found = [stats.delong(known, rng.normal(shift, 1, 200)).estimate for shift in (0.5, 1.0, 1.5, 2.0)]
    rows = [{"first": each.value, "first_low": each.low, "first_high": each.high} for each in found]
    truth = theory.norm.cdf(np.array([0.5, 1.0, 1.5, 2.0]) / np.sqrt(2)).mean()
    return inside(_mean(pl.DataFrame(rows), "first"), float(truth))


@case(
    "AUROC .9 without the ID inputs of its OOD set, a fifth of 600, of which 150 were looked at",
    "coverage",
    (0.93, 0.985),
    covers=("stats.contamination.cleaned", "stats.contamination.audited"),
)
def _(rng: Rng) -> bool:
    shift = np.sqrt(2) * theory.norm.ppf(0.9)
    inside_set = rng.random(600) < 0.2
    scores = rng.normal(size=600) + np.where(inside_set, 0.0, shift)
    measured = stats.delong(rng.normal(size=1000), scores).estimate
    seen = rng.choice(inside_set, 150, replace=False)
    return inside(stats.cleaned(measured, stats.audited(int(seen.sum()), 150)), 0.9)
