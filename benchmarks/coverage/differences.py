"""Differences of two models, and of two studies."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from outfield import stats
from outfield.metrics._ranking import Placements
from outfield.reports.comparison.inputs import _Sum
from outfield.reports.comparison.studies import differences
from outfield.stats import intervals
from outfield.types import Estimate

from .case import COVERS, HOLDS, Rng, case, inside
from .detectors import TRUE_AUROCS, two_detectors


@case(
    "AUROCs of two models on the same inputs", "coverage", COVERS, covers=("reports.comparison.inputs._Sum.estimate",)
)
def _(rng: Rng) -> bool:
    first, second = two_detectors(rng).values()
    placed = [(name, *(Placements.of(one["test"], one[name]) for one in (first, second))) for name in ("near", "far")]
    return inside(_Sum.of(*placed).estimate(), TRUE_AUROCS["b"] - TRUE_AUROCS["a"])


@case(
    "difference of two studies, 12 strategies",
    "coverage",
    COVERS,
    covers=("reports.comparison.studies.differences",),
)
def _(rng: Rng) -> bool:
    rows = pl.DataFrame({"strategy": [f"s{i}" for i in range(12)], "seed": 0, "difference": rng.normal(0.1, 0.2, 12)})
    return inside(differences(rows, (), ())["all"], 0.1)


def flipped(rng: Rng, n: int, lost: float, gained: float) -> tuple[np.ndarray, np.ndarray]:
    """Two models of which the second alone is right with chance ``gained``, the first alone with ``lost``."""
    kind = rng.choice(4, n, p=[lost, gained, 0.6 - lost, 0.4 - gained])
    return np.isin(kind, (0, 2)).astype(float), np.isin(kind, (1, 2)).astype(float)


def in_clusters(rng: Rng, count: int, truth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of items in clusters of 1 to 12, whose difference varies from cluster to cluster."""
    groups = np.repeat(np.arange(count), rng.integers(1, 13, count))
    first = rng.normal(size=count)[groups] + rng.normal(size=len(groups))
    moved = truth + 0.5 * rng.normal(size=count)[groups] + rng.normal(size=len(groups))
    return first, first + moved, groups


SHARES, STUDENT = ("stats.differences._paired_shares",), ("stats.differences._student",)


def _accuracies(n: int, lost: float, gained: float) -> None:
    name = f"paired difference of accuracies, {n} items, {lost} lost, {gained} gained"

    @case(name, "coverage", (0.93, 0.995), covers=SHARES)
    def run(rng: Rng) -> bool:
        return inside(stats.paired_difference(*flipped(rng, n, lost, gained)).estimate, gained - lost)


for _n, _lost, _gained in ((30, 0.1, 0.2), (200, 0.02, 0.02), (500, 0.1, 0.15)):
    _accuracies(_n, _lost, _gained)


@case("paired difference of accuracies, 200 items, McNemar", "size", HOLDS)
def _(rng: Rng) -> bool:
    return stats.paired_difference(*flipped(rng, 200, 0.1, 0.1)).p < 0.05


@case("paired difference of mean scores, 40 items", "coverage", COVERS, covers=STUDENT)
def _(rng: Rng) -> bool:
    first = rng.exponential(size=40)
    return inside(stats.paired_difference(first, first + rng.normal(0.2, 1, 40)).estimate, 0.2)


def _clustered(count: int) -> None:
    @case(f"paired difference in {count} clusters of 1 to 12 items", "coverage", (0.93, 0.985), covers=STUDENT)
    def difference(rng: Rng) -> bool:
        return inside(stats.paired_difference(*in_clusters(rng, count, 0.2)).estimate, 0.2)

    @case(f"paired difference in {count} clusters, no difference", "size", HOLDS)
    def test(rng: Rng) -> bool:
        return stats.paired_difference(*in_clusters(rng, count, 0.0)).p < 0.05


for _count in (10, 40):
    _clustered(_count)


UNPAIRED, OVER_SETS = ("stats.differences.independent_difference",), ("stats.differences.mean_difference",)


@case(
    "difference of two accuracies from their Wilson intervals, 150 and 300 items",
    "coverage",
    COVERS,
    covers=UNPAIRED,
)
def _(rng: Rng) -> bool:
    ends = []
    for n, chance in ((150, 0.9), (300, 0.8)):
        right = int(rng.binomial(n, chance))
        ends.append(Estimate(right / n, *intervals.wilson(right, n), n=n))
    return inside(stats.independent_difference(*ends).estimate, -0.1)


@case("mean difference of 3 sets in 10, 10 and 40 clusters", "coverage", (0.93, 0.985), covers=OVER_SETS)
def _(rng: Rng) -> bool:
    found = [stats.paired_difference(*in_clusters(rng, count, 0.1 * count)) for count in (10, 10, 40)]
    return inside(stats.mean_difference(found).estimate, 2.0)


@case("mean difference over 8 sets without errors of their own", "coverage", COVERS, covers=OVER_SETS)
def _(rng: Rng) -> bool:
    values = rng.normal(0.2, 0.1, 8)
    found = [stats.independent_difference(Estimate(0.5), Estimate(0.5 + value)) for value in values]
    return inside(stats.mean_difference(found).estimate, 0.2)


@cache
def smallest_found(kind: str) -> float:
    """The median over pilots of what is called detectable."""
    rng = np.random.default_rng(7)
    if kind == "shares":
        found = [stats.paired_difference(*flipped(rng, 400, 0.1, 0.1)) for _ in range(200)]
    else:
        found = [stats.paired_difference(*in_clusters(rng, 40, 0.0)) for _ in range(200)]
    return float(np.median([each.detectable() for each in found]))


@case("detectable difference of accuracies, 400 items", "power", (0.75, 0.85), covers=("stats.power.detectable",))
def _(rng: Rng) -> bool:
    move = smallest_found("shares") / 2
    return stats.paired_difference(*flipped(rng, 400, 0.1 - move, 0.1 + move)).p < 0.05


@case("detectable difference in 40 clusters", "power", (0.75, 0.85))
def _(rng: Rng) -> bool:
    return stats.paired_difference(*in_clusters(rng, 40, smallest_found("clusters"))).p < 0.05
