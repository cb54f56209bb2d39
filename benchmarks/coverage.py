"""Simulated coverage of every interval and size of every test of ``outfield.stats``.

``python benchmarks/coverage.py [REPETITIONS] [WORDS]`` prints the table (2,000 by default; of the cases whose names
hold the words); ``make coverage`` runs it, on every core. A case yields one truth value a repetition: whether the
interval held the truth, or whether the test rejected. It names the functions whose intervals it checks: a test fails
for a function in the source that builds an interval and has no case.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Literal

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import registry, stats
from outfield.card.recommendation import choose
from outfield.errors import UserError
from outfield.metrics._ranking import Placements
from outfield.metrics.base import Metric
from outfield.reports.comparison import logs
from outfield.reports.comparison.inputs import _Sum
from outfield.reports.comparison.models import _mean
from outfield.reports.comparison.sets import _published
from outfield.reports.comparison.studies import differences
from outfield.reports.findings.outliers import _far
from outfield.stats import intervals
from outfield.stats.reml import Reml
from outfield.stats.smooth import SMOOTHERS, residuals
from outfield.stats.units import unit_means
from outfield.types import Estimate

Rng = np.random.Generator
SIMULATE: dict[str, Case] = {}


@dataclass(frozen=True)
class Case:
    """A simulation: ``kind`` is coverage (wanted .95), size (.05) or power (.80); ``claimed`` is what we claim."""

    name: str
    kind: str
    claimed: tuple[float, float] | None
    run: Callable[[Rng], bool | None]
    note: str = ""
    covers: tuple[str, ...] = ()

    def share(self, repetitions: int, seed: int = 1) -> tuple[float, int]:
        """Share of true repetitions, and how many counted (a test that refuses does not)."""
        rng = np.random.default_rng(seed)
        found = [value for _ in range(repetitions) if (value := self.run(rng)) is not None]
        return float(np.mean(found)) if found else float("nan"), len(found)

    def holds(self, share: float, counted: int) -> bool:
        """Whether the share is in the claimed range, give or take three binomial errors."""
        if self.claimed is None or not counted:
            return True
        low, high = self.claimed
        slack = [3 * np.sqrt(max(end * (1 - end), 0.01) / counted) for end in (low, high)]
        return bool(low - slack[0] <= share <= high + slack[1])


def case(
    name: str,
    kind: str,
    claimed: tuple[float, float] | None,
    note: str = "",
    *,
    covers: tuple[str, ...] = (),
) -> Callable[[Callable[[Rng], bool | None]], Callable[[Rng], bool | None]]:
    """Enter a simulation into the table; ``covers`` names the functions that build the interval it checks."""

    def enter(run: Callable[[Rng], bool | None]) -> Callable[[Rng], bool | None]:
        SIMULATE[name] = Case(name, kind, claimed, run, note, covers)
        return run

    return enter


COVERS, HOLDS = (0.92, 0.975), (0.0, 0.055)


def inside(estimate: object, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)  # type: ignore[attr-defined]


def normal_pair(rng: Rng, n: int, r: float) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x, r * x + np.sqrt(1 - r**2) * rng.normal(size=n)


def ar(rng: Rng, n: int, phi: float, many: int = 1) -> np.ndarray:
    steps = rng.normal(size=(many, n + 60))
    for t in range(1, n + 60):
        steps[:, t] = phi * steps[:, t - 1] + np.sqrt(1 - phi**2) * steps[:, t]
    return steps[:, 60:]


# --- correlations ---


CORRELATION = ("stats.relate._closed", "stats.relate._correlate")


def _correlation(name: str, measure: Callable[..., object], truth: Callable[[float], float], scale: str) -> None:
    for n in (12, 48):
        for r in (0.0, 0.6):

            @case(f"{name}, n = {n}, r = {r}", "coverage", COVERS, covers=(*CORRELATION, scale))
            def run(rng: Rng, n: int = n, r: float = r) -> bool:
                return inside(measure(*normal_pair(rng, n, r)).estimate, truth(r))  # type: ignore[attr-defined]


_correlation(
    "spearman, Bonett-Wright", stats.spearman, lambda r: 6 / np.pi * np.arcsin(r / 2), "stats.intervals.bonett_wright"
)
_correlation("kendall, Fieller", stats.kendall, lambda r: 2 / np.pi * np.arcsin(r), "stats.intervals.fisher")
_correlation("pearson, Fisher", stats.pearson, lambda r: r, "stats.intervals.fisher")


RESAMPLED = ("stats.intervals.resampled", "stats.intervals._corrected", "stats.intervals._quantile_each")


@case("spearman, bootstrap over units, n = 36, r = .6", "coverage", (0.90, 0.975), covers=RESAMPLED)
def _(rng: Rng) -> bool:
    found = stats.spearman(*normal_pair(rng, 36, 0.6), interval="bootstrap", draws=300, seed=int(rng.integers(1e9)))
    return inside(found.estimate, 6 / np.pi * np.arcsin(0.3))


def seeds(rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve unrelated strategies of three seeds: strategy variance .8."""
    group = np.repeat(np.arange(12), 3)
    x, y = (np.sqrt(0.8) * rng.normal(size=12)[group] + np.sqrt(0.2) * rng.normal(size=36) for _ in range(2))
    return x, y, group


@case("spearman, 12 strategies x 3 seeds, by strategy", "size", HOLDS)
def _(rng: Rng) -> bool:
    x, y, group = seeds(rng)
    return stats.spearman(x, y, groups=group).p < 0.05


@case("spearman, 12 strategies x 3 seeds, seeds pooled", "size", None, "why seeds are no models")
def _(rng: Rng) -> bool:
    x, y, group = seeds(rng)
    return stats.spearman(x, y, groups=group, pooled=True).p < 0.05


@case("accuracy on the line, slope, n = 48", "coverage", COVERS, covers=("stats.relate.accuracy_on_the_line",))
def _(rng: Rng) -> bool:
    u = rng.normal(0.7, 0.2, 48)
    v = 0.9 * u - 0.5 + rng.normal(0, 0.1, 48)
    return inside(stats.accuracy_on_the_line(theory.norm.cdf(u), theory.norm.cdf(v)).slope, 0.9)


# --- rows that are kin ---


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
WIDE = (0.92, 1.0)
"""Few families of very unequal sizes: the interval is wider than it need be."""


def _kin_case(count: int, name: str, shape: tuple[float, float, float]) -> None:
    claimed, (shared, between, within) = COVERS if count > 12 else WIDE, shape
    truth = shared * between + (1 - shared) * within

    @case(f"pearson by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.correlation_by_cluster(*values.T, family, kind="pearson").estimate, truth)

    @case(f"slope by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.slope_by_cluster(*values.T, family), truth)

    @case(f"partial correlation by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape, columns=3)
        found = stats.correlations_by_cluster(values, family, kind="pearson", given=0)
        r = shared * between**2 + (1 - shared) * within**2
        return inside(found.of("measure 1", "measure 2"), (r - truth**2) / (1 - truth**2))

    @case(f"correlation within clusters, {count} clusters, {name}", "coverage", claimed)
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
    claimed, (shared, between, within) = COVERS if count > 12 else WIDE, shape
    truth = shared * between + (1 - shared) * within

    @case(f"spearman by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape)
        return inside(stats.correlation_by_cluster(*values.T, family).estimate, 6 / np.pi * np.arcsin(truth / 2))

    @case(f"rank partial correlation by cluster, {count} clusters, {name}", "coverage", claimed)
    def _(rng: Rng) -> bool:
        values, family = kin_rows(rng, count, shape, columns=3)
        found = stats.correlations_by_cluster(values, family, given=0)
        r = shared * between**2 + (1 - shared) * within**2
        s, t = (6 / np.pi * np.arcsin(each / 2) for each in (truth, r))
        return inside(found.of("measure 1", "measure 2"), (t - s**2) / (1 - s**2))


for _count in (12, 40, 238):
    for _name, _shape in KIN.items():
        _kin_case(_count, _name, _shape)
        if _count < 238 or _name == "half shared":  # ranks are made anew without each cluster
            _kin_rank_case(_count, _name, _shape)


@case("kendall by cluster, 12 clusters, half shared", "coverage", WIDE)
def _(rng: Rng) -> bool:
    values, family = kin_rows(rng, 12, KIN["half shared"])
    return inside(stats.correlation_by_cluster(*values.T, family, kind="kendall").estimate, 2 / np.pi * np.arcsin(0.6))


@case("slope of the line of accuracies by cluster, 40 clusters, half shared", "coverage", COVERS)
def _(rng: Rng) -> bool:
    values, family = kin_rows(rng, 40, KIN["half shared"])
    line = stats.accuracy_on_the_line(*theory.norm.cdf(values / 2).T)
    return inside(stats.clusters.line_by_cluster(line, family).slope, 0.6)


for _count in (12, 40):

    @case(f"test of a correlation by cluster, {_count} clusters, half shared, truth 0", "size", HOLDS)
    def _(rng: Rng, count: int = _count) -> bool:
        values, family = kin_rows(rng, count, (0.5, 0.0, 0.0))
        return stats.correlation_by_cluster(*values.T, family).p < 0.05


@case("pearson by cluster, 12 clusters, rows taken as independent", "coverage", None, "what the usual way covers")
def _(rng: Rng) -> bool:
    return inside(stats.pearson(*kin_rows(rng, 12, KIN["half shared"])[0].T).estimate, 0.6)


@case("band about the line of accuracies, n = 30", "coverage", COVERS, covers=("stats._plots.line",))
def _(rng: Rng) -> bool:
    u = rng.normal(0.7, 0.2, 30)
    v = 0.9 * u - 0.5 + rng.normal(0, 0.1, 30)
    chart = stats.accuracy_on_the_line(theory.norm.cdf(u), theory.norm.cdf(v)).plot().to_dict()
    drawn = chart["layer"][0]["data"]
    row = (drawn["values"] if "values" in drawn else chart["datasets"][drawn["name"]])[20]
    return bool(row["low"] <= 0.9 * row["u"] - 0.5 <= row["high"])


# --- ANOVA shares ---


def design(rng: Rng, n: int) -> np.ndarray:
    """n models x 8 detectors x 4 OOD categories x 2 sets; models random, the rest fixed."""
    detector, ood = np.linspace(-1, 1, 8)[:, None, None], np.linspace(-1, 1, 4)[:, None]
    fixed = detector + ood + 0.5 * np.cos(2 * np.arange(8))[:, None, None] * np.sin(1.3 * np.arange(4) + 0.3)[:, None]
    model, both = rng.normal(size=(n, 1, 1, 1)), 0.8 * rng.normal(size=(n, 8, 1, 1))
    return model + fixed + both + 0.5 * rng.normal(size=(n, 1, 4, 1)) + 0.7 * rng.normal(size=(n, 8, 4, 2))


FACTORS = ("model", "detector", "category")


@cache
def true_shares() -> dict[str, dict[str, float]]:
    """The shares that many models tend to."""
    many = stats.anova(design(np.random.default_rng(0), 20_000), FACTORS, interval="none")
    return {row["term"]: row for row in many.frame().to_dicts()}


def _share(kind: str, measure: str, term: str, n: int, claimed: tuple[float, float] | None) -> None:
    by = "stats.anova._jackknifed" if kind == "jackknife" else "stats.anova._bootstrapped"

    @case(f"{measure} of {term}, {kind}, n = {n}", "coverage", claimed, covers=(by,))
    def run(rng: Rng) -> bool:
        found = stats.anova(design(rng, n), FACTORS, interval=kind, draws=300, seed=int(rng.integers(1e9))).row(term)  # type: ignore[arg-type]
        return bool(found[f"{measure}_low"] <= true_shares()[term][measure] <= found[f"{measure}_high"])


for _term in ("model", "detector", "model x detector"):
    for _n in (12, 36):
        _share("jackknife", "eta2", _term, _n, (0.91, 0.985))
for _n in (3, 6):
    _share("jackknife", "eta2", "model x detector", _n, (0.91, 0.985))
    _share("jackknife", "eta2", "detector x category", _n, (0.91, 0.985))
_share("jackknife", "omega2", "model x detector", 36, (0.91, 0.985))
_share("jackknife", "partial_eta2", "model x detector", 36, (0.91, 0.985))
for _kind in ("percentile", "basic", "bc"):
    _share(_kind, "eta2", "model x detector", 12, None)
    _share(_kind, "eta2", "model x detector", 36, None)


@case(
    "eta2 of a family against models within it, noncentral F",
    "coverage",
    COVERS,
    covers=("stats.components._f_interval",),
)
def _(rng: Rng) -> bool:
    import polars as pl

    centre = np.repeat([0.0, 0.5, 1.0, 1.0], 10)
    rows = pl.DataFrame({"f": np.repeat(list("abcd"), 10), "m": np.arange(40), "value": centre + rng.normal(size=40)})
    noncentrality = ((centre - centre.mean()) ** 2).sum()
    return inside(stats.stratum(rows, "f", "m").eta2, noncentrality / (noncentrality + 40))


# --- ranks ---


def ranked(rng: Rng, gap: float) -> np.ndarray:
    return rng.normal(size=(24, 5)) + gap * np.arange(5)[::-1] + rng.normal(size=(24, 1))


@cache
def true_rank() -> float:
    """The mean rank of the first treatment that many models tend to."""
    rng = np.random.default_rng(0)
    return float(stats.ranks(np.concatenate([ranked(rng, 0.4) for _ in range(2000)]))[:, 0].mean())


@case(
    "mean rank, jackknife over 24 models",
    "coverage",
    COVERS,
    covers=("stats.ranks._jackknife_ends", "stats.ranks.mean_ranks", "stats.intervals._groups"),
)
def _(rng: Rng) -> bool:
    found = stats.mean_ranks(ranked(rng, 0.4), names=list("abcde"))
    return inside(found.estimates[found.names.index("a")], true_rank())


@case("mean rank, bootstrap (bc) over 24 models", "coverage", (0.90, 0.975))
def _(rng: Rng) -> bool:
    found = stats.mean_ranks(
        ranked(rng, 0.4), names=list("abcde"), interval="bc", draws=300, seed=int(rng.integers(1e9))
    )
    return inside(found.estimates[found.names.index("a")], true_rank())


@case("Friedman, Iman-Davenport, 24 blocks", "size", (0.03, 0.06))
def _(rng: Rng) -> bool:
    return stats.friedman(ranked(rng, 0.0)).p < 0.05


@case("Nemenyi, any of 10 pairs", "size", HOLDS)
def _(rng: Rng) -> bool:
    return bool(stats.nemenyi(ranked(rng, 0.0)).frame()["p"].min() < 0.05)


@case("Conover with Holm after a significant Friedman, any of 10 pairs", "size", HOLDS)
def _(rng: Rng) -> bool:
    scores = ranked(rng, 0.0)
    return stats.friedman(scores).p < 0.05 and bool(stats.conover(scores).frame()["p"].min() < 0.05)


# --- shape ---


@case("Lind-Mehlum, truth a line, n = 56", "size", HOLDS)
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return stats.lind_mehlum(x, x + rng.normal(0, 0.3, 56)).p < 0.05


@case("Lind-Mehlum, truth a logarithm, n = 56", "size", None, "a quadratic mistakes a bend for a U")
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return stats.lind_mehlum(x, np.log(x + 0.02) + rng.normal(0, 0.3, 56)).p < 0.05


@case("two lines, truth a line, n = 56", "size", HOLDS)
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return stats.two_lines(x, x + rng.normal(0, 0.3, 56)).p < 0.05


@case("two lines, truth a logarithm, n = 56", "size", HOLDS)
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return stats.two_lines(x, np.log(x + 0.02) + rng.normal(0, 0.3, 56)).p < 0.05


@case("two lines, no relation, n = 56", "size", HOLDS)
def _(rng: Rng) -> bool:
    return stats.two_lines(rng.uniform(0, 1, 56), rng.normal(size=56)).p < 0.05


@case("interrupted, slope above a break in advance, n = 56", "size", (0.03, 0.07))
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return stats.interrupted(x, np.minimum(x, 0.5) + rng.normal(0, 0.3, 56), 0.5).p_above < 0.05


@case(
    "turn of a parabola, Fieller, n = 56",
    "coverage",
    COVERS,
    covers=("stats.shape._fieller", "stats.shape.lind_mehlum"),
)
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return inside(stats.lind_mehlum(x, -4 * (x - 0.6) ** 2 + rng.normal(0, 0.3, 56)).turn, 0.6)


@case("LOWESS band at a point, n = 56", "coverage", None, "a picture", covers=("stats.shape.lowess",))
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    found = stats.lowess(x, x + rng.normal(0, 0.3, 56), points=5, draws=100, seed=int(rng.integers(1e9)))
    return bool(found.low[2] <= found.grid[2] <= found.high[2])


@case("interrupted, slope below, unequal variance", "coverage", COVERS, covers=("stats.shape._linear",))
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return inside(stats.interrupted(x, np.minimum(x, 0.5) + rng.normal(0, 0.1 + 0.4 * x), 0.5).below, 1.0)


# --- partial correlation ---


def given(rng: Rng, n: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x + rng.normal(size=n), x + rng.normal(size=n), x


for _smoother in SMOOTHERS:
    for _n in (12, 48):

        @case(
            f"partial correlation, {_smoother}, truth 0, n = {_n}",
            "coverage",
            COVERS,
            covers=("stats.partial._partial_estimate",),
        )
        def _(rng: Rng, smoother: str = _smoother, n: int = _n) -> bool:
            return inside(stats.partial_correlation(*given(rng, n), smoothers=[smoother]).estimates[smoother], 0.0)


@case("plain correlation beside a partial one, n = 48", "coverage", COVERS, covers=("stats.partial._plain",))
def _(rng: Rng) -> bool:
    return inside(stats.partial_correlation(*given(rng), smoothers=["linear"]).estimates["plain"], 0.5)


@case("within runs, mean Fisher z, 8 runs, phi = .9", "coverage", COVERS, covers=("stats.runs._mean_z",))
def _(rng: Rng) -> bool:
    return inside(stats.within_runs(ar(rng, 40, 0.9, 8), ar(rng, 40, 0.9, 8)).estimate, 0.0)


@case("within runs by cluster, 8 pairs of kin", "coverage", COVERS)
def _(rng: Rng) -> bool:
    shared = np.repeat(rng.normal(0, 0.3, 8), 2)
    low, high = stats.mean_over_runs(np.tanh(shared + rng.normal(0, 0.1, 16)), [str(i // 2) for i in range(16)])[1:3]
    return bool(low <= 0 <= high)


@case("within runs, 8 pairs of kin taken for 16 runs", "coverage", None, "why kin are one unit")
def _(rng: Rng) -> bool:
    shared = np.repeat(rng.normal(0, 0.3, 8), 2)
    low, high = stats.mean_over_runs(np.tanh(shared + rng.normal(0, 0.1, 16)))[1:3]
    return bool(low <= 0 <= high)


@case("sign test over 12 runs, phi = .9 given a random walk", "size", HOLDS)
def _(rng: Rng) -> bool:
    a, b, given = ar(rng, 30, 0.9, 12), ar(rng, 30, 0.9, 12), ar(rng, 30, 0.99, 12)
    return stats.sign_test(stats.within_runs(a, b, given).per_run) < 0.05


@case("window from a late start, 8 runs, phi = .9", "coverage", COVERS)
def _(rng: Rng) -> bool:
    found = stats.windows(*(ar(rng, 40, 0.9, 8) for _ in range(3)), steps=[range(40)] * 8, starts=[25])
    return bool(found.low[0] <= 0 <= found.high[0])


@case("noise floor, sd of 3 reruns of 60 steps", "coverage", COVERS)
def _(rng: Rng) -> bool:
    return inside(stats.noise_floor(list(rng.normal(0, np.sqrt(2), (3, 60)))).sd, 1.0)


@case("noise floor, sd of 3 reruns of 60 steps, phi = .5", "coverage", (0.90, 0.975))
def _(rng: Rng) -> bool:
    return inside(stats.noise_floor(list(ar(rng, 60, 0.5, 3) * np.sqrt(2))).sd, 1.0)


@case("two reruns differ by less than the smallest difference, sd of 3 reruns of 60 steps", "coverage", COVERS)
def _(rng: Rng) -> bool:
    floor = stats.noise_floor(list(rng.normal(0, np.sqrt(2), (3, 60))))
    return bool(abs(np.diff(rng.normal(size=2))[0]) < floor.smallest_difference)


@case("two steps differ by less than the smallest step, sd of 3 reruns of 60 steps about trends", "coverage", COVERS)
def _(rng: Rng) -> bool:
    floor = stats.noise_floor(list(rng.normal(0, np.sqrt(2), (3, 60)) + np.linspace(0, 3, 60)))
    return bool(abs(np.diff(rng.normal(size=2))[0]) < floor.smallest_step)


@case("run permutation, 6 runs, phi = .9", "size", HOLDS)
def _(rng: Rng) -> bool:
    return stats.run_permutation_test(ar(rng, 40, 0.9, 6), ar(rng, 40, 0.9, 6)).p < 0.05


@case("run permutation, 6 runs, phi = .9 about trends that all runs share", "size", HOLDS)
def _(rng: Rng) -> bool:
    trend = 4 * np.linspace(0, 1, 40)
    return stats.run_permutation_test(trend + ar(rng, 40, 0.9, 6), trend**2 + ar(rng, 40, 0.9, 6)).p < 0.05


def answers(rng: Rng, chances: np.ndarray, items: int) -> np.ndarray:
    """Whether the same items are right along a run, [runs, steps, items]: an item's own share, and noise that lasts."""
    runs, steps = chances.shape
    own, lasting = rng.normal(size=(runs, 1, items)), rng.normal(size=(runs, steps, items))
    for t in range(1, steps):
        lasting[:, t] = 0.8 * lasting[:, t - 1] + 0.6 * lasting[:, t]
    return 0.7 * own + np.sqrt(0.51) * lasting < theory.norm.ppf(chances)[..., None]


def learning(rng: Rng, wander: float) -> np.ndarray:
    """True ID accuracies of six runs at twelve steps: one curve, and each run's random walk about it."""
    curve = 0.5 + 0.33 * (1 - np.exp(-3 * np.linspace(0, 1, 12)))
    return np.clip(curve + rng.normal(size=(6, 12)).cumsum(axis=1) * wander / np.sqrt(12), 0.03, 0.97)


@case("run permutation given ID whose noise is known from errors of cells alone", "size", (0.0, 0.08))
def _(rng: Rng) -> bool | None:
    from outfield.trajectory.model import ID, Model

    true = learning(rng, 0.02)
    known = answers(rng, true, 600).mean(axis=-1)
    a, b = (answers(rng, np.clip(at + (true - 0.5), 0.02, 0.98), 300).mean(axis=-1) for at in (0.45, 0.5))
    errors = {ID: tuple((known * (1 - known) / 599).mean(axis=1))}
    runs = tuple(map(str, range(6)))
    p = Model("m", runs, np.arange(12), known, {"a": a, "b": b}, error_variances=errors).pair("a", "b")["p"]
    return None if np.isnan(p) else p < 0.05


def _noisy(rng: Rng, id_items: int, items: int, slope: float, wander: float = 0.02) -> bool | None:
    """Both OOD accuracies follow the true ID accuracy, and nothing else; None where no p is given."""
    true = learning(rng, wander)
    known = answers(rng, true, id_items)
    a, b = (answers(rng, np.clip(at + slope * (true - 0.5), 0.02, 0.98), items).mean(axis=-1) for at in (0.45, 0.5))
    noise = [stats.item_error(run.astype(float)) for run in known]
    found = stats.run_permutation_test(a, b, known.mean(axis=-1), error_variance=noise)
    return None if np.isnan(found.p) else found.p < 0.05


for _items, _slope in (((600, 300), 1.0), ((300, 300), 1.0), ((600, 300), 0.3), ((200, 2000), 1.0)):
    _text = f"run permutation given ID, {_items[0]} ID and {_items[1]} OOD items, slope {_slope:g}"

    _small = "an ID set a tenth of the OOD sets: its noise hides what runs differ by"

    @case(_text, "size", *(((0.0, 0.08), "") if _items[0] >= _items[1] else (None, _small)))
    def _(rng: Rng, items: tuple[int, int] = _items, slope: float = _slope) -> bool | None:
        return _noisy(rng, *items, slope)


@case("run permutation of residuals on ID, 600 and 300 items, slope 1", "size", None, "why ID is given to the test")
def _(rng: Rng) -> bool:
    true = learning(rng, 0.02)
    known = answers(rng, true, 600).mean(axis=-1)
    measures = (answers(rng, np.clip(at + true - 0.5, 0.02, 0.98), 300).mean(axis=-1) for at in (0.45, 0.5))
    return stats.run_permutation_test(*(residuals(each, known, "linear") for each in measures)).p < 0.05


@case("run permutation given ID that wanders, OOD on trends that all runs share", "size", (0.0, 0.08))
def _(rng: Rng) -> bool:
    t = np.linspace(0, 1, 12)
    a, b = (0.01 * ar(rng, 12, 0.8, 6) for _ in range(2))
    return stats.run_permutation_test(0.3 * t + a, 0.2 * t**2 + b, learning(rng, 0.05)).p < 0.05


def _shifted(left: np.ndarray, right: np.ndarray) -> bool | None:
    try:
        return stats.circular_shift_test(left, right).p < 0.05
    except UserError:
        return None


@case("circular shift, stationary, phi = .5, n = 100", "size", (0.0, 0.065))
def _(rng: Rng) -> bool | None:
    return _shifted(*ar(rng, 100, 0.5, 2))


@case("circular shift, stationary, phi = .8, n = 200", "size", (0.0, 0.065))
def _(rng: Rng) -> bool | None:
    return _shifted(*ar(rng, 200, 0.8, 2))


@case("circular shift refuses independent trends", "size", (0.99, 1.0), "share of refusals")
def _(rng: Rng) -> bool:
    trends = np.linspace(0, 4, 100) * rng.choice([-1, 1], (2, 1)) + ar(rng, 100, 0.5, 2)
    return _shifted(*trends) is None


@case("naive correlation, phi = .9, n = 100", "size", None, "why points of a run are no sample")
def _(rng: Rng) -> bool:
    return stats.pearson(*ar(rng, 100, 0.9, 2)).p < 0.05


@case(
    "block bootstrap, phi = .9, n = 100",
    "size",
    None,
    "for display only",
    covers=("stats.series.block_bootstrap",),
)
def _(rng: Rng) -> bool:
    band = stats.block_bootstrap(*ar(rng, 100, 0.9, 2), draws=200, seed=int(rng.integers(1e9)))
    return not inside(band, 0.0)


# --- agreement ---


@case("heterogeneity Q, 10 models of 30 points", "size", (0.03, 0.065))
def _(rng: Rng) -> bool:
    z = [np.arctanh(np.corrcoef(*normal_pair(rng, 30, 0.3))[0, 1]) for _ in range(10)]
    return stats.heterogeneity(z, np.full(10, 1 / np.sqrt(27))).p < 0.05


POOLED = ("stats.agreement._random_mean", "stats.agreement._i2")
WIDE = (0.93, 1.0)
"""Claimed of intervals that are wider than need be: where few values cannot tell more."""


def pooled(rng: Rng, k: int, between: float, errors: Sequence[float]) -> tuple[stats.Heterogeneity, float, float]:
    """k estimates about .3 with these errors; the true mean and I2."""
    error = np.resize(errors, k)
    weight = 1 / error**2
    typical = (k - 1) * weight.sum() / (weight.sum() ** 2 - (weight**2).sum())
    found = stats.heterogeneity(0.3 + between * rng.normal(size=k) + error * rng.normal(size=k), error)
    return found, 0.3, between**2 / (between**2 + typical)


def _pooled(k: int, between: float, errors: Sequence[float], what: str) -> None:
    @case(f"random-effects mean of {k}, {what}", "coverage", (0.92, 1.0), covers=POOLED[:1])
    def mean(rng: Rng) -> bool:
        found, truth, _ = pooled(rng, k, between, errors)
        return inside(found.mean, truth)

    @case(f"I2 of {k}, {what}", "coverage", (0.93, 0.985), covers=POOLED[1:])
    def share(rng: Rng) -> bool:
        found, _, truth = pooled(rng, k, between, errors)
        return inside(found.i2, truth)


for _k in (3, 4, 5, 7, 10, 30):
    _pooled(_k, 0.2, (0.2,), "I2 = .5")
for _k in (4, 10):
    _pooled(_k, 0.2, (0.1, 0.4, 0.2, 0.3, 0.15), "unequal errors")
    _pooled(_k, 0.0, (0.2,), "all alike")


def models_of_pairs(rng: Rng, models: int) -> stats.Agreement:
    """Correlation matrices of three sets over 30 points; a model's true Fisher z varies about .4 by .2."""
    matrices = []
    for z in 0.4 + 0.2 * rng.normal(size=models):
        r = max(0.0, float(np.tanh(z)))
        shared = rng.normal(size=30)
        matrices.append(np.corrcoef(np.sqrt(r) * shared + np.sqrt(1 - r) * rng.normal(size=(3, 30))))
    return stats.agreement(matrices, 30)


@cache
def true_agreement() -> tuple[float, float, float]:
    """What many models tend to: a pair's mean in Fisher z, the mean of all pairs, the share of positive ones."""
    many = models_of_pairs(np.random.default_rng(0), 4_000)
    row = many.frame().row(0, named=True)
    return row["mean"], many.mean.value, many.positive.value


for _models in (3, 4, 6, 10):

    @case(f"agreement of a pair, {_models} models", "coverage", WIDE, covers=("stats.agreement._random_mean",))
    def _(rng: Rng, models: int = _models) -> bool:
        row = models_of_pairs(rng, models).frame().row(0, named=True)
        return bool(row["low"] <= true_agreement()[0] <= row["high"])

    @case(
        f"mean agreement of all pairs, {_models} models", "coverage", COVERS, covers=("stats.agreement._over_models",)
    )
    def _(rng: Rng, models: int = _models) -> bool:
        return inside(models_of_pairs(rng, models).mean, true_agreement()[1])

    @case(f"share of positive pairs, {_models} models", "coverage", WIDE, covers=("stats.agreement.agreement",))
    def _(rng: Rng, models: int = _models) -> bool:
        return inside(models_of_pairs(rng, models).positive, true_agreement()[2])


# --- which detector ---

CHOSEN = ("stats.recommend._half_width", "stats.recommend._worst_ends", "stats.recommend._recommendation")
FIELDS: dict[str, tuple[float, Sequence[float], float]] = {
    "a close race": (0.0, (0.0, 0.0, 0.0, 0.0), 0.0),
    "some apart": (0.3, (0.3, -0.2, 0.4, 0.0), 0.3),
    "far apart": (1.5, (0.5, -0.5, 0.0, 0.9), 0.3),
}
"""Distance between detectors, of which each set takes away a share, and the detectors' wave over sets."""


def field(rng: Rng, n: int, name: str) -> np.ndarray:
    """Values [n, 4 sets, 5 detectors], which units change as a whole."""
    gap, taken, wave = FIELDS[name]
    truth = gap * np.arange(5)[::-1] * (1 - np.array(taken)[:, None])
    truth = truth + wave * np.sin(np.arange(4)[:, None] * 2.0 + np.arange(5) * 1.7)
    return truth + rng.normal(size=(n, 4, 5)) + 0.7 * rng.normal(size=(n, 1, 5))


@cache
def true_field(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean ranks and values [sets, detectors] that many units tend to."""
    rng = np.random.default_rng(0)
    drawn = [field(rng, 1000, name) for _ in range(40)]
    return (
        np.mean([stats.ranks(each).mean(axis=0) for each in drawn], axis=0),
        np.mean([each.mean(axis=0) for each in drawn], axis=0),
    )


def recommended(rng: Rng, n: int, name: str) -> stats.Recommendation:
    places = [str(i) for i in range(5)]
    return stats.recommend(field(rng, n, name), detectors=places, sets=places[:4], draws=2)


def _recommended(n: int, name: str) -> None:
    def enter(what: str, holds: Callable[[stats.Recommendation, np.ndarray, np.ndarray], bool]) -> None:
        @case(f"{what}, {n} units, {name}", "coverage", WIDE, covers=CHOSEN)
        def run(rng: Rng) -> bool:
            return holds(recommended(rng, n, name), *true_field(name))

    def picks(found: stats.Recommendation, means: np.ndarray) -> float:
        """Mean over sets of what was chosen without each, ties shared alike."""
        chosen = [[int(name) for name in found.chosen[str(s)].split(" and ")] for s in range(4)]
        return float(np.mean([means[s, picked].mean() for s, picked in enumerate(chosen)]))

    enter(
        "worst mean rank of the safest detector",
        lambda found, rank, _: inside(found.worst_rank[found.best], rank[:, int(found.best)].max()),
    )
    enter("worst mean rank of a detector", lambda found, rank, _: inside(found.worst_rank["1"], rank[:, 1].max()))
    enter("mean value of a detector", lambda found, _, value: inside(found.mean_value["1"], value[:, 1].mean()))
    enter("rank on sets left out", lambda found, rank, _: inside(found.held_out, picks(found, rank)))
    enter("value on sets left out", lambda found, _, value: inside(found.held_out_value, picks(found, value)))
    enter(
        "optimism of choosing and judging on the same sets",
        lambda found, rank, _: inside(found.optimism, picks(found, rank) - rank[:, int(found.best)].mean()),
    )


for _n in (6, 12):
    for _name in FIELDS:
        _recommended(_n, _name)


# --- gaps ---


def board(rng: Rng) -> np.ndarray:
    """Values of 24 models x 4 sets x 5 detectors; models differ, and with detectors and with sets."""
    both = 0.4 * rng.normal(size=(24, 1, 5)) + 0.3 * rng.normal(size=(24, 4, 1))
    fixed = 0.3 * np.arange(5)[::-1] + 0.5 * np.arange(4)[:, None]
    return fixed + 0.8 * rng.normal(size=(24, 1, 1)) + both + 0.4 * rng.normal(size=(24, 4, 5))


def with_gaps(values: np.ndarray, gone: np.ndarray) -> stats.Panel:
    """The panel of a long table without those cells."""
    import polars as pl

    at = np.nonzero(~gone)
    columns = {
        key: np.char.add(key, place.astype(str)) for key, place in zip(("model", "ood", "detector"), at, strict=True)
    }
    rows = pl.DataFrame({**columns, "metric": "auroc", "value": values[at]})
    return stats.panel(rows, ("ood", "detector"))


@cache
def true_board_ranks() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(np.mean([stats.ranks(board(rng)).mean(axis=(0, 1)) for _ in range(1000)], axis=0))


def _unless_biased(found: stats.Panel, holds: Callable[[stats.Panel], bool]) -> bool | None:
    return None if found.biased else holds(found)


def _gaps(share: float) -> None:
    @case(
        f"mean rank, {share:.0%} of cells missing at random",
        "coverage",
        COVERS,
        covers=("stats.ranks._jackknife_ends",),
    )
    def rank(rng: Rng) -> bool | None:
        def holds(found: stats.Panel) -> bool:
            ranked = stats.mean_ranks(found)
            return inside(ranked.estimates[ranked.names.index("detector2")], true_board_ranks()[2])

        return _unless_biased(with_gaps(board(rng), rng.random((24, 4, 5)) < share), holds)

    @case(f"mean value, {share:.0%} of cells missing at random", "coverage", COVERS, covers=CHOSEN[:1])
    def value(rng: Rng) -> bool | None:
        def holds(found: stats.Panel) -> bool:
            return inside(stats.recommend(found, draws=1).mean_value["detector2"], 1.35)

        return _unless_biased(with_gaps(board(rng), rng.random((24, 4, 5)) < share), holds)


for _part in (0.02, 0.1):
    _gaps(_part)


@case("gaps at random are refused", "size", (0.0, 0.04), "share of refusals, 5% of cells missing")
def _(rng: Rng) -> bool:
    return bool(with_gaps(board(rng), rng.random((24, 4, 5)) < 0.05).biased)


@case("gaps where values are lowest are refused", "size", (0.8, 1.0), "share of refusals, 5% of cells missing")
def _(rng: Rng) -> bool:
    values = board(rng)
    return bool(with_gaps(values, values < np.quantile(values, 0.05)).biased)


@case("a mean where the lowest 5% of cells are missing: refused, or covered", "coverage", (0.93, 1.0))
def _(rng: Rng) -> bool:
    values = board(rng)
    found = with_gaps(values, values < np.quantile(values, 0.05))
    return bool(found.biased) or inside(stats.recommend(found, draws=1).mean_value["detector2"], 1.35)


# --- risk and coverage ---


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


# --- AUROC ---


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


def importance(rng: Rng, n: int) -> np.ndarray:
    """Weights that carry a normal sample of mean 0 to one of mean .7, and are unequal by as much."""
    x = rng.normal(size=n)
    return np.stack([x, np.exp(0.7 * x)])


MEASURED = {
    "fpr_at_95_id": ("metrics._quantiles.share_at_rank",),
    "fpr_at_95_ood": ("metrics._quantiles.share_at_rank",),
    "aupr_in": ("metrics._precision.area",),
    "aupr_out": ("metrics._precision.area",),
    "accuracy": ("metrics.accuracy.Accuracy.of", "metrics._intervals.share"),
    "nll": ("metrics.nll.Nll.of", "metrics._intervals.of_mean", "metrics._intervals.of_influence"),
    "brier": ("metrics.brier.Brier.of", "metrics._intervals.of_mean"),
    "ece": ("metrics.ece.Ece.of", "metrics.ece._spread"),
    "balanced_accuracy": ("metrics._intervals.mean_recall",),
}


def _unweighted(name: str, n: int, claimed: tuple[float, float]) -> None:
    extra = ("metrics._intervals._recalls",) if name == "balanced_accuracy" else ()

    @case(f"{name} of {n} inputs", "coverage", claimed, covers=(*MEASURED[name], *extra))
    def run(rng: Rng) -> bool | None:
        metric, x = registry.create("metrics", name), rng.normal(0.7, 1, n)
        if metric.inputs == "ranking":
            found = metric(x, rng.normal(1.7, 1, n))
        else:
            found = metric(said(x), (rng.random(n) < theory.norm.cdf(1 + x)).astype(int))
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


def _weighted(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n} and {n}", "coverage", claimed, covers=MEASURED.get(name, ()))
    def run(rng: Rng) -> bool | None:
        (known, known_weights), (unknown, unknown_weights) = importance(rng, n), importance(rng, n)
        metric = registry.create("metrics", name)
        found = metric(known, unknown + 1, weights=known_weights, ood_weights=unknown_weights)
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


def _weighted_prediction(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n}", "coverage", claimed, covers=MEASURED.get(name, ()))
    def run(rng: Rng) -> bool:
        x, weights = importance(rng, n)
        labels = (rng.random(n) < theory.norm.cdf(1 + x)).astype(int)
        return inside(registry.create("metrics", name)(said(x), labels, weights=weights), weighted_truth(name))


def _weighted_diagnostic(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n}", "coverage", claimed)
    def run(rng: Rng) -> bool | None:
        (x, weights), (unknown, ood_weights) = importance(rng, n), importance(rng, n)
        metric, kinds = registry.create("metrics", name), {"weights": weights}
        kinds |= {"ood_weights": ood_weights} if metric.per_set else {}
        found = metric(*_diagnosed(metric, rng, x, unknown), **kinds)
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


MEAN_MERIT = ("metrics._merits.mean_of", "metrics._intervals.of_influence")
MERITS = {
    "mean_absolute_error": MEAN_MERIT,
    "root_mean_squared_error": ("metrics.root_mean_squared_error.RootMeanSquaredError.of",),
    "mean_return": MEAN_MERIT,
    "exact_match": ("metrics.exact_match.ExactMatch.of", "metrics._intervals.wilson"),
    "error_correlation": ("metrics.error_correlation.ErrorCorrelation.of",),
}


def _merits(n: int, note: str = "") -> None:
    def enter(name: str, of: str, truth: float, draw: Callable[[Rng], tuple[np.ndarray, ...]]) -> None:
        @case(f"{name} of {of}, {n}", "coverage", COVERS if n > 100 else (0.9, 0.99), note, covers=MERITS[name])
        def run(rng: Rng) -> bool:
            return inside(registry.create("metrics", name)(*draw(rng)), truth)

    def errors(rng: Rng) -> tuple[np.ndarray]:
        return (-np.abs(rng.normal(size=n)),)

    def followed(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        first, second = normal_pair(rng, n, 0.5)
        return -np.exp(first), second

    enter("mean_absolute_error", "normal errors", float(np.sqrt(2 / np.pi)), errors)
    enter("root_mean_squared_error", "normal errors", 1.0, errors)
    enter("mean_return", "normal returns", 3.0, lambda rng: (rng.normal(3, 2, n),))
    enter("exact_match", "answers of which 80% are right", 0.8, lambda rng: ((rng.random(n) < 0.8).astype(float),))
    enter("error_correlation", "scores that follow the error", float(6 / np.pi * np.arcsin(0.25)), followed)


for _n in (40, 300):
    _merits(_n)


def _diagnosed(metric: Metric, rng: Rng, x: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, ...]:
    """ID scores, the larger the likelier an error, whether each is right, and OOD scores where they are asked for."""
    correct = rng.random(len(x)) < theory.norm.cdf(1 - x)
    return (x, correct, unknown + 1) if metric.per_set else (x, correct)


def said(x: np.ndarray) -> np.ndarray:
    """Logits of a classifier that is surer of class 1 the larger x is, and somewhat too sure."""
    return np.stack([np.zeros(len(x)), 1.5 + 3 * x], axis=1)


@cache
def weighted_truth(name: str) -> float:
    """The value for the samples that the weights stand for: normal of mean .7."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.7, 1, 1_000_000), rng.normal(0.7, 1, 1_000_000)
    metric = registry.create("metrics", name)
    if metric.inputs == "ranking":
        return float(metric(x, y + 1).value)
    if metric.inputs == "diagnostic":
        return float(metric(*_diagnosed(metric, rng, x, y)).value)
    labels = (rng.random(len(x)) < theory.norm.cdf(1 + x)).astype(int)
    return float(metric(said(x), labels).value)


_weighted("fpr_at_95_id", 300, (0.92, 1.0))
_weighted("fpr_at_95_ood", 300, (0.92, 1.0))
for _size in (60, 300):
    _weighted("auroc", _size, (0.90, 0.99))
    _weighted_prediction("accuracy", _size, (0.92, 0.99))
    _weighted_prediction("nll", _size, (0.87, 0.985))
    _weighted_prediction("brier", _size, (0.90, 0.985))
    _weighted_prediction("ece", _size, (0.92, 1.0))
    _weighted_prediction("balanced_accuracy", _size, (0.90, 0.99))
    _weighted_diagnostic("aurc", _size, (0.92, 0.99))
    for _of in ("auroc_correct_vs_incorrect", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood"):
        _weighted_diagnostic(_of, _size, (0.90, 0.995))


for _of in ("fpr_at_95_id", "aupr_in", "aupr_out"):
    _unweighted(_of, 200, (0.93, 1.0))
for _of in ("accuracy", "balanced_accuracy", "nll", "brier", "ece"):
    _unweighted(_of, 200, (0.90, 1.0))


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


@case(
    "shared ID sample of 200, 30 models: corrected correlation above .3",
    "size",
    (0.0, 0.07),
    "nothing else in common",
)
def _(rng: Rng) -> bool:
    first, second, covariances = [], [], []
    for _ in range(30):
        known, a, b = rng.normal(size=200), rng.normal(1.5, 1, 200), rng.normal(1.5, 1, 200)
        first.append(stats.delong(known, a).estimate.value + 0.02 * rng.normal())
        second.append(stats.delong(known, b).estimate.value + 0.02 * rng.normal())
        covariances.append(stats.shared_id_covariance(known, a, b))
    return stats.unshared_correlation(first, second, covariances).corrected > 0.3


def noisy_id(rng: Rng, rows: int, items: int, shared: float) -> stats.Corrected:
    """Two measures that follow the true ID accuracy, and have so much in common beside it; ID is seen on items."""
    true, common = rng.uniform(0.5, 0.8, rows), rng.normal(size=rows)
    a, b = (true + 0.05 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=rows)) for _ in range(2))
    return stats.errors_in_variables(a, b, rng.binomial(items, true) / items, items=items)


def _noisy_id(rows: int, items: int, shared: float) -> None:
    text = f"partial correlation given a noisy ID accuracy, {rows} rows, {items} items, truth {shared:g}"

    @case(text, "coverage", (0.92, 1.0), covers=("stats.measurement_error._accepted",))
    def run(rng: Rng) -> bool:
        return inside(noisy_id(rng, rows, items, shared).corrected, shared)


for _rows, _items in ((400, 200), (400, 50), (48, 50), (48, 200), (48, 1000), (15, 200)):
    for _shared in (0.0, 0.5):
        _noisy_id(_rows, _items, _shared)


@case(
    "errors in variables: corrected partial correlation above 0 (truth 0)",
    "size",
    (0.4, 0.6),
    "wanted .5; 48 rows of 50 items",
)
def _(rng: Rng) -> bool:
    return noisy_id(rng, 48, 50, 0.0).corrected.value > 0


# --- variance components, units in groups ---


@case("variance component of 12 models x 4, generalised", "coverage", (0.92, 0.98))
def _(rng: Rng) -> bool:
    row = stats.variance_components(rng.normal(size=(12, 1)) + rng.normal(size=(12, 4)), ("model",)).frame()
    return bool(row["low"][0] <= 1 <= row["high"][0])


@case("variance component of 0, 12 models x 4, generalised", "coverage", (0.95, 1.0))
def _(rng: Rng) -> bool:
    return bool(stats.variance_components(rng.normal(size=(12, 4)), ("model",)).frame()["low"][0] == 0)


@case("variance component of 16 models x 2 to 6, profile likelihood", "coverage", (0.9, 0.98))
def _(rng: Rng) -> bool:
    level = np.repeat(np.arange(16), np.arange(16) % 5 + 2)
    y = rng.normal(size=16)[level] + rng.normal(size=len(level))
    low, high = Reml(y, np.zeros(len(y), int), (level,)).interval(0)
    return bool(low <= 1 <= high)


@case("partial eta2 of family x set within 36 models, jackknife", "coverage", (0.9, 0.98))
def _(rng: Rng) -> bool:
    family, effect = np.arange(36) % 3, np.outer([-1, 0, 1], [-0.5, 0, 0, 0.5])
    y = rng.normal(size=(36, 1)) + effect[family] + rng.normal(size=(36, 4))
    names = {"model": np.repeat(np.arange(36), 4), "family": np.repeat(family, 4), "set": np.tile(np.arange(4), 36)}
    row = stats.repeated_measures(pl.DataFrame({**names, "value": y.ravel()}), "family", "set", "model").row(
        "family x set"
    )
    truth = (effect**2).mean() / ((effect**2).mean() + 0.75)
    return bool(row["partial_eta2_low"] <= truth <= row["partial_eta2_high"])


@case("family x set within 36 models, sets of unequal spread, Greenhouse-Geisser", "size", HOLDS)
def _(rng: Rng) -> bool:
    y = rng.normal(size=(36, 1)) + rng.normal(size=(36, 4)) * np.array([0.2, 0.5, 1, 3])
    names = {"model": np.repeat(np.arange(36), 4), "family": np.repeat(np.arange(36) % 3, 4)}
    rows = {**names, "set": np.tile(np.arange(4), 36), "value": y.ravel()}
    return bool(
        stats.repeated_measures(pl.DataFrame(rows), "family", "set", "model").row("family x set")["p_gg"] < 0.05
    )


# --- differences of correlations ---


def _difference(rng: Rng, n: int, kind: str, which: str) -> stats.Result:
    """Two correlations of equal strength: of different units, or of the same with or without a measure in common."""
    if which == "different units":
        return stats.difference_of_correlations(normal_pair(rng, n, 0.6), normal_pair(rng, n, 0.6), kind=kind)
    common = rng.normal(size=n)
    x, y, u, v = 0.8 * common + 0.6 * rng.normal(size=(4, n))
    first, second = ((x, y), (u, y)) if which == "one in common" else ((x, y), (u, v))
    return stats.difference_of_correlations(first, second, same_units=True, kind=kind)


for _kind in ("pearson", "spearman"):
    for _which in ("different units", "one in common", "none in common"):
        for _n in (16, 48):

            @case(f"difference of correlations, {_kind}, {_which}, n = {_n}", "coverage", COVERS)
            def _(rng: Rng, n: int = _n, kind: str = _kind, which: str = _which) -> bool:
                return inside(_difference(rng, n, kind, which).difference, 0.0)  # type: ignore[attr-defined]

            @case(f"test of a difference of correlations, {_kind}, {_which}, n = {_n}", "size", HOLDS)
            def _(rng: Rng, n: int = _n, kind: str = _kind, which: str = _which) -> bool:
                return _difference(rng, n, kind, which).p < 0.05  # type: ignore[attr-defined]


# --- noise of cells ---


@case("reliability of .7 from standard errors, 36 models, jackknife", "coverage", COVERS)
def _(rng: Rng) -> bool:
    seen = rng.normal(size=36) + np.sqrt(3 / 7) * rng.normal(size=36)
    return inside(stats.cell_reliability(seen, np.full(36, np.sqrt(3 / 7))).reliability, 0.7)


for _n, _share in ((24, 0.8), (48, 0.8), (48, 0.5)):

    @case(f"correlation of .6 less noise, reliability {_share}, n = {_n}", "coverage", (0.88, 1.0))
    def _(rng: Rng, n: int = _n, share: float = _share) -> bool | None:
        se = np.sqrt((1 - share) / share)
        a, b = (each + se * rng.normal(size=n) for each in normal_pair(rng, n, 0.6))
        found = stats.disattenuated_correlation(a, b, errors=[np.full(n, se)] * 2, draws=400).corrected
        return None if np.isnan(found.low) else inside(found, 0.6)

    @case(f"partial correlation of 0 less noise of ID, reliability {_share}, n = {_n}", "coverage", (0.9, 1.0))
    def _(rng: Rng, n: int = _n, share: float = _share) -> bool | None:
        found = _given_noisy(rng, n, share).corrected  # type: ignore[attr-defined]
        return None if np.isnan(found.low) else inside(found, 0.0)


def _given_noisy(rng: Rng, n: int, share: float) -> stats.Result:
    """Two measures that agree by a third alone, which is seen with noise."""
    true, se = rng.normal(size=n), np.sqrt((1 - share) / share)
    a, b = true + 0.7 * rng.normal(size=(2, n))
    errors = [None, None, np.full(n, se)]
    return stats.disattenuated_correlation(a, b, true + se * rng.normal(size=n), errors=errors, draws=400)


@case("partial correlation of 0, noise of ID left in, reliability 0.8, n = 48", "coverage", None, "what noise fakes")
def _(rng: Rng) -> bool:
    return inside(_given_noisy(rng, 48, 0.8).raw, 0.0)  # type: ignore[attr-defined]


# --- one run ---

for _phi, _n in ((0.5, 60), (0.8, 100), (0.9, 100)):

    @case(f"correlation at the effective number of checkpoints, phi = {_phi}, n = {_n}", "coverage", (0.9, 0.98))
    def _(rng: Rng, n: int = _n, phi: float = _phi) -> bool | None:
        found = stats.effective_checkpoints(*ar(rng, n, phi, 2)).estimate
        return None if np.isnan(found.low) else inside(found, 0.0)


for _kind in ("pearson", "spearman"):

    @case(f"published {_kind} correlation of .6, n = 48", "coverage", COVERS)
    def _(rng: Rng, kind: Literal["pearson", "spearman"] = _kind) -> bool:
        x, y = normal_pair(rng, 48, 0.6)
        value = float(theory.pearsonr(x, y)[0] if kind == "pearson" else theory.spearmanr(x, y)[0])
        truth = 0.6 if kind == "pearson" else 6 / np.pi * np.arcsin(0.3)
        return inside(stats.published_correlation(value, 48, kind=kind).estimate, truth)


@case("mean of 200 items from its published standard error", "coverage", COVERS)
def _(rng: Rng) -> bool:
    right = rng.random(200) < 0.8
    found = logs.ends(right.mean(), float(right.std(ddof=1) / np.sqrt(200)))
    return bool(found["low"] <= 0.8 <= found["high"])


@case("mean of 200 items of a log, for want of the other's items", "coverage", COVERS)
def _(rng: Rng) -> bool:
    right = (rng.random(200) < 0.8).astype(float)
    items = pl.DataFrame({"set": "a", "metric": "accuracy", "score": right})
    return inside(_published(logs.Log("m", items, pl.DataFrame(schema=logs.VALUES)), ("a", "accuracy")), 0.8)


@case("mean AUROC of 4 sets from their intervals, ID inputs in common", "coverage", (0.93, 1.0))
def _(rng: Rng) -> bool:
    known = rng.normal(size=200)
    found = [stats.delong(known, rng.normal(shift, 1, 200)).estimate for shift in (0.5, 1.0, 1.5, 2.0)]
    rows = [{"first": each.value, "first_low": each.low, "first_high": each.high} for each in found]
    truth = theory.norm.cdf(np.array([0.5, 1.0, 1.5, 2.0]) / np.sqrt(2)).mean()
    return inside(_mean(pl.DataFrame(rows), "first"), float(truth))


@case("published mean of 5 runs, Student", "coverage", COVERS)
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


def two_detectors(rng: Rng) -> dict[str, dict[str, np.ndarray]]:
    """Scores of the same 150 ID and 150 OOD inputs of two sets; AUROCs .80 and .77."""
    base = {name: rng.normal(shift, 1, 150) for name, shift in (("test", 0.0), ("near", 1.4), ("far", 1.4))}
    return {
        name: {kind: values + noise * rng.normal(size=150) for kind, values in base.items()}
        for name, noise in (("a", 0.6), ("b", 0.85))
    }


TRUE_AUROCS = {
    name: float(theory.norm.cdf(1.4 / np.sqrt(2 * (1 + noise**2)))) for name, noise in (("a", 0.6), ("b", 0.85))
}


@case("AUROC of the detector that a card takes", "coverage", (0.92, 0.985), covers=("card.recommendation._rows",))
def _(rng: Rng) -> bool:
    row = choose(two_detectors(rng), {"near": "near", "far": "far"}).table.row(0, named=True)
    return bool(row["low"] <= TRUE_AUROCS[row["detector"]] <= row["high"])


@case("difference of detectors on a card", "coverage", (0.92, 0.985), covers=("card.recommendation._rows",))
def _(rng: Rng) -> bool:
    found = choose(two_detectors(rng), {"near": "near", "far": "far"})
    row = found.table.row(1, named=True)
    return bool(
        row["low_difference"] <= TRUE_AUROCS[row["detector"]] - TRUE_AUROCS[found.best] <= row["high_difference"]
    )


@case("AUROC on sets left out, of a card", "coverage", (0.92, 0.985), covers=("card.recommendation._held_out",))
def _(rng: Rng) -> bool:
    found = choose(two_detectors(rng), {"near": "near", "far": "far"})
    return inside(found.held_out, float(np.mean([TRUE_AUROCS[name] for name, _ in found.without.values()])))


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
    import polars as pl

    rows = pl.DataFrame({"strategy": [f"s{i}" for i in range(12)], "seed": 0, "difference": rng.normal(0.1, 0.2, 12)})
    return inside(differences(rows, (), ())["all"], 0.1)


@cache
def true_worth() -> float:
    rng = np.random.default_rng(0)
    return float(_worth(stats.plackett_luce(ranked_blocks(rng, 20_000), names=list("abcd"), draws=0)).value)


def ranked_blocks(rng: Rng, blocks: int) -> np.ndarray:
    return rng.gumbel(size=(blocks, 4)) + np.array([0.9, 0.3, 0.0, -0.4])


def _worth(found: stats.Strengths) -> Estimate:
    return found.worth[found.names.index("a")]


@case("worth by Plackett and Luce, 30 blocks", "coverage", (0.88, 0.985), covers=("stats.ranks._strengths",))
def _(rng: Rng) -> bool:
    found = stats.plackett_luce(ranked_blocks(rng, 30), names=list("abcd"), draws=60, seed=int(rng.integers(1e9)))
    return inside(_worth(found), true_worth())


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


# --- differences of two models ---


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


for n_items, lost, gained in ((30, 0.1, 0.2), (200, 0.02, 0.02), (500, 0.1, 0.15)):

    @case(f"paired difference of accuracies, {n_items} items, {lost} lost, {gained} gained", "coverage", (0.93, 0.995))
    def _(rng: Rng, n: int = n_items, lost: float = lost, gained: float = gained) -> bool:
        return inside(stats.paired_difference(*flipped(rng, n, lost, gained)).estimate, gained - lost)


@case("paired difference of accuracies, 200 items, McNemar", "size", HOLDS)
def _(rng: Rng) -> bool:
    return stats.paired_difference(*flipped(rng, 200, 0.1, 0.1)).p < 0.05


@case("paired difference of mean scores, 40 items", "coverage", COVERS)
def _(rng: Rng) -> bool:
    first = rng.exponential(size=40)
    return inside(stats.paired_difference(first, first + rng.normal(0.2, 1, 40)).estimate, 0.2)


for n_clusters in (10, 40):

    @case(f"paired difference in {n_clusters} clusters of 1 to 12 items", "coverage", (0.93, 0.985))
    def _(rng: Rng, count: int = n_clusters) -> bool:
        return inside(stats.paired_difference(*in_clusters(rng, count, 0.2)).estimate, 0.2)

    @case(f"paired difference in {n_clusters} clusters, no difference", "size", HOLDS)
    def _(rng: Rng, count: int = n_clusters) -> bool:
        return stats.paired_difference(*in_clusters(rng, count, 0.0)).p < 0.05


@case("difference of two accuracies from their Wilson intervals, 150 and 300 items", "coverage", COVERS)
def _(rng: Rng) -> bool:
    ends = []
    for n, chance in ((150, 0.9), (300, 0.8)):
        right = int(rng.binomial(n, chance))
        ends.append(Estimate(right / n, *intervals.wilson(right, n), n=n))
    return inside(stats.independent_difference(*ends).estimate, -0.1)


@case("mean difference of 3 sets in 10, 10 and 40 clusters", "coverage", (0.93, 0.985))
def _(rng: Rng) -> bool:
    found = [stats.paired_difference(*in_clusters(rng, count, 0.1 * count)) for count in (10, 10, 40)]
    return inside(stats.mean_difference(found).estimate, 2.0)


@case("mean difference over 8 sets without errors of their own", "coverage", COVERS)
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


@case("detectable difference of accuracies, 400 items", "power", (0.75, 0.85))
def _(rng: Rng) -> bool:
    move = smallest_found("shares") / 2
    return stats.paired_difference(*flipped(rng, 400, 0.1 - move, 0.1 + move)).p < 0.05


@case("detectable difference in 40 clusters", "power", (0.75, 0.85))
def _(rng: Rng) -> bool:
    return stats.paired_difference(*in_clusters(rng, 40, smallest_found("clusters"))).p < 0.05


@case("the set of rows alike holds the truly best of 40, errors of .3 to 1.2 spreads", "coverage", (0.94, 1.0))
def _(rng: Rng) -> bool:
    truth, errors = rng.normal(size=40), rng.uniform(0.3, 1.2, 40)
    found = stats.winner(truth + errors * rng.normal(size=40), errors)
    return f"row {truth.argmax()}" in found.alike


@case("a row out of line in a table without one, n = 60, r = .9", "size", (0.0, 0.05))
def _(rng: Rng) -> bool:
    return len(stats.out_of_line(*normal_pair(rng, 60, 0.9)).rows) > 0


@case("an accuracy far from its kin's in a family without one, 24 rows", "size", HOLDS)
def _(rng: Rng) -> bool:
    accuracy = theory.logistic.cdf(1 + 0.3 * rng.normal(size=24))
    measures = SimpleNamespace(id="accuracy", column=lambda _: accuracy, names=[f"m{i}" for i in range(24)])
    return bool(list(_far(SimpleNamespace(measures=measures), "f", np.arange(24))))  # type: ignore[arg-type]


def _row(job: tuple[str, int]) -> tuple[str, bool]:
    """A line of the table, and whether the case is within its claim."""
    name, repetitions = job
    each = SIMULATE[name]
    share, counted = each.share(repetitions)
    claimed = "none" if each.claimed is None else f"{each.claimed[0]:.3g} to {each.claimed[1]:.3g}"
    wanted, holds = {"coverage": ".95", "size": ".05", "power": ".80"}[each.kind], each.holds(share, counted)
    few = f"; {counted:,} not refused" if counted < repetitions else ""
    verdict = "" if holds else "MISSES"
    return f"| {name} | {wanted} | {share:.3f}{few} | {claimed} | {each.note}{verdict} |", holds


def main(repetitions: int = 2000, words: str = "") -> None:
    """Print the table as Markdown, of the cases whose names hold ``words``."""
    start = time.perf_counter()
    print(f"{repetitions:,} repetitions, seeded\n\n| what | wanted | measured | claimed | |\n|---|---|---|---|---|")
    jobs = [(name, repetitions) for name in SIMULATE if words in name]
    failed = 0
    with ProcessPoolExecutor() as pool:
        for line, holds in pool.map(_row, jobs):
            failed += not holds
            print(line, flush=True)
    print(f"\n{len(jobs)} cases in {time.perf_counter() - start:,.0f} s, {failed} outside their claim")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, " ".join(sys.argv[2:]))
