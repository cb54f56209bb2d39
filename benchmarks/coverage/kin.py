"""Correlations and slopes where rows are kin."""

from __future__ import annotations

import numpy as np
from scipy import stats as theory

from outfield import stats

from .case import COVERS, HOLDS, Rng, case, inside
from .correlations import spearman_of


def kin_sizes(count: int) -> np.ndarray:
    """Rows of each family, as unequal as in a leaderboard: 110 of the largest, one of most where there are many."""
    return np.ceil(110 / np.arange(1, count + 1) ** 1.2).astype(int)


def kin_rows(
    rng: Rng, count: int, shape: tuple[float, float, float], columns: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Measures of variance 1 whose share ``shared`` families have in common; correlation between and within them."""
    (shared, between, within), sizes = shape, kin_sizes(count)
    family = np.repeat(np.arange(count), sizes)

    def normal(n: int, r: float) -> np.ndarray:
        first = rng.normal(size=(n, 1))
        return np.hstack([first, r * first + np.sqrt(1 - r**2) * rng.normal(size=(n, columns - 1))])

    values = np.sqrt(shared) * normal(count, between)[family] + np.sqrt(1 - shared) * normal(len(family), within)
    return values, family


KIN = {"no kinship": (0.0, 0.6, 0.6), "half shared": (0.5, 0.6, 0.6), "Simpson": (0.3, 0.9, -0.5)}
UNEQUAL = (0.92, 1.0)
"""Claimed of few clusters of very unequal sizes: the interval is wider than it need be where they share much."""
SPREAD = ("stats.clusters.Spread.ends",)
SLOPE = (*SPREAD, "stats.clusters.slope_by_cluster")
WITHIN = (*SPREAD, "stats.clusters._within")
PAIR = (
    *SPREAD,
    "stats.clusters._critical",
    "stats.clusters.correlation_by_cluster",
    "stats.clusters.ClusterCorrelations.of",
    "stats.clusters.ClusterCorrelations.pair",
)


def _kin_case(count: int, name: str, shape: tuple[float, float, float]) -> None:
    claimed, (shared, between, within) = COVERS if count > 12 else UNEQUAL, shape
    truth = shared * between + (1 - shared) * within

    @case(f"pearson by cluster, {count} clusters, {name}", "coverage", claimed, covers=PAIR)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.correlation_by_cluster(*values.T, family, kind="pearson").estimate, truth)

    @case(f"slope by cluster, {count} clusters, {name}", "coverage", claimed, covers=SLOPE)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.slope_by_cluster(*values.T, family), truth)

    @case(f"partial correlation by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape, columns=3)
        found = stats.correlations_by_cluster(values, family, kind="pearson", given=0)
        r = shared * between**2 + (1 - shared) * within**2
        return inside(found.of("measure 1", "measure 2"), (r - truth**2) / (1 - truth**2))

    @case(f"correlation within clusters, {count} clusters, {name}", "coverage", claimed, covers=WITHIN)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.between_within(*values.T, family).within, within)

    @case(f"correlation between clusters, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        left = (1 - shared) * (1 / kin_sizes(count)).mean()
        return inside(
            stats.between_within(*values.T, family).between,
            (shared * between + left * within) / (shared + left),
        )


def _kin_rank_case(count: int, name: str, shape: tuple[float, float, float]) -> None:
    claimed, (shared, between, within) = COVERS if count > 12 else UNEQUAL, shape
    truth = shared * between + (1 - shared) * within

    @case(f"spearman by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.correlation_by_cluster(*values.T, family).estimate, spearman_of(truth))

    @case(f"rank partial correlation by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape, columns=3)
        found = stats.correlations_by_cluster(values, family, given=0)
        r = shared * between**2 + (1 - shared) * within**2
        s, t = (spearman_of(each) for each in (truth, r))
        return inside(found.of("measure 1", "measure 2"), (t - s**2) / (1 - s**2))


for _count in (12, 40, 238):
    for _name, _shape in KIN.items():
        _kin_case(_count, _name, _shape)
        if _count < 238 or _name == "half shared":  # ranks are made anew without each cluster
            _kin_rank_case(_count, _name, _shape)


@case("kendall by cluster, 12 clusters, half shared", "coverage", UNEQUAL)
def _(rng: Rng) -> bool:
    values, family = kin_rows(rng, 12, KIN["half shared"])
    return inside(stats.correlation_by_cluster(*values.T, family, kind="kendall").estimate, 2 / np.pi * np.arcsin(0.6))


@case(
    "slope of the line of accuracies by cluster, 40 clusters, half shared",
    "coverage",
    COVERS,
    covers=("stats.clusters.line_by_cluster",),
)
def _(rng: Rng) -> bool:
    values, family = kin_rows(rng, 40, KIN["half shared"])
    line = stats.accuracy_on_the_line(*theory.norm.cdf(values / 2).T)
    return inside(stats.clusters.line_by_cluster(line, family).slope, 0.6)


def _test(count: int) -> None:
    name = f"test of a correlation by cluster, {count} clusters, half shared, truth 0"

    @case(name, "size", HOLDS, covers=("stats.clusters.Spread.p",))
    def run(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, (0.5, 0.0, 0.0))
        return stats.correlation_by_cluster(*values.T, family).p < 0.05


for _count in (12, 40):
    _test(_count)


@case("pearson by cluster, 12 clusters, rows taken as independent", "coverage", None, "what the usual way covers")
def _(rng: Rng) -> bool:
    return inside(stats.pearson(*kin_rows(rng, 12, KIN["half shared"])[0].T).estimate, 0.6)
