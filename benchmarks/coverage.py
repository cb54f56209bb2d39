"""Simulated coverage of every interval and size of every test of ``outfield.stats``.

``python benchmarks/coverage.py [REPETITIONS]`` prints the table (2,000 by default); ``make coverage`` runs it.
A case yields one truth value a repetition: whether the interval held the truth, or whether the test rejected.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import registry, stats
from outfield.errors import UserError
from outfield.metrics.base import Metric
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
    name: str, kind: str, claimed: tuple[float, float] | None, note: str = ""
) -> Callable[[Callable[[Rng], bool | None]], Callable[[Rng], bool | None]]:
    """Enter a simulation into the table."""

    def enter(run: Callable[[Rng], bool | None]) -> Callable[[Rng], bool | None]:
        SIMULATE[name] = Case(name, kind, claimed, run, note)
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


def _correlation(name: str, measure: Callable[..., object], truth: Callable[[float], float], options: dict) -> None:
    for n in (12, 48):
        for r in (0.0, 0.6):

            @case(f"{name}, n = {n}, r = {r}", "coverage", COVERS)
            def run(rng: Rng, n: int = n, r: float = r) -> bool:
                return inside(measure(*normal_pair(rng, n, r), **options).estimate, truth(r))  # type: ignore[attr-defined]


_correlation("spearman, Bonett-Wright", stats.spearman, lambda r: 6 / np.pi * np.arcsin(r / 2), {})
_correlation("kendall, Fieller", stats.kendall, lambda r: 2 / np.pi * np.arcsin(r), {})
_correlation("pearson, Fisher", stats.pearson, lambda r: r, {})


@case("spearman, bootstrap over units, n = 36, r = .6", "coverage", (0.90, 0.975))
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


@case("accuracy on the line, slope, n = 48", "coverage", COVERS)
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


@case("pearson by cluster, 12 clusters, rows taken as independent", "coverage", None, "what the usual way covers")
def _(rng: Rng) -> bool:
    return inside(stats.pearson(*kin_rows(rng, 12, KIN["half shared"])[0].T).estimate, 0.6)


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
    @case(f"{measure} of {term}, {kind}, n = {n}", "coverage", claimed)
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


@case("eta2 of a family against models within it, noncentral F", "coverage", COVERS)
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


@case("mean rank, jackknife over 24 models", "coverage", COVERS)
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


@case("interrupted, slope below, unequal variance", "coverage", COVERS)
def _(rng: Rng) -> bool:
    x = rng.uniform(0, 1, 56)
    return inside(stats.interrupted(x, np.minimum(x, 0.5) + rng.normal(0, 0.1 + 0.4 * x), 0.5).below, 1.0)


# --- partial correlation ---


def given(rng: Rng, n: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x + rng.normal(size=n), x + rng.normal(size=n), x


for _smoother in SMOOTHERS:
    for _n in (12, 48):

        @case(f"partial correlation, {_smoother}, truth 0, n = {_n}", "coverage", COVERS)
        def _(rng: Rng, smoother: str = _smoother, n: int = _n) -> bool:
            return inside(stats.partial_correlation(*given(rng, n), smoothers=[smoother]).estimates[smoother], 0.0)


@case("within runs, mean Fisher z, 8 runs, phi = .9", "coverage", COVERS)
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


@case("block bootstrap, phi = .9, n = 100", "size", None, "for display only")
def _(rng: Rng) -> bool:
    band = stats.block_bootstrap(*ar(rng, 100, 0.9, 2), draws=200, seed=int(rng.integers(1e9)))
    return not inside(band, 0.0)


# --- agreement, AUROC ---


@case("heterogeneity Q, 10 models of 30 points", "size", (0.03, 0.065))
def _(rng: Rng) -> bool:
    z = [np.arctanh(np.corrcoef(*normal_pair(rng, 30, 0.3))[0, 1]) for _ in range(10)]
    return stats.heterogeneity(z, np.full(10, 1 / np.sqrt(27))).p < 0.05


@case("random-effects mean, 10 models", "coverage", (0.90, 0.97))
def _(rng: Rng) -> bool:
    truth = 0.3 + 0.1 * rng.normal(size=10)
    return inside(stats.heterogeneity(truth + 0.2 * rng.normal(size=10), np.full(10, 0.2)).mean, 0.3)


@case("AUROC .9, DeLong on the logit scale, 200 and 200", "coverage", COVERS)
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


def _weighted(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n} and {n}", "coverage", claimed)
    def run(rng: Rng) -> bool | None:
        (known, known_weights), (unknown, unknown_weights) = importance(rng, n), importance(rng, n)
        metric = registry.create("metrics", name)
        found = metric(known, unknown + 1, weights=known_weights, ood_weights=unknown_weights)
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


def _weighted_prediction(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n}", "coverage", claimed)
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


def _merits(n: int, note: str = "") -> None:
    def enter(name: str, of: str, truth: float, draw: Callable[[Rng], tuple[np.ndarray, ...]]) -> None:
        @case(f"{name} of {of}, {n}", "coverage", COVERS if n > 100 else (0.9, 0.99), note)
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
    _weighted_diagnostic("aurc", _size, (0.85, 0.985))
    for _of in ("auroc_correct_vs_incorrect", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood"):
        _weighted_diagnostic(_of, _size, (0.90, 0.995))


@case("paired AUROCs, equal detectors, 200 and 200", "size", (0.03, 0.065))
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


@case("errors in variables: corrected partial correlation beyond .2 (truth 0)", "size", None, "400 rows of 200 items")
def _(rng: Rng) -> bool:
    true = rng.uniform(0.5, 0.8, 400)
    seen = rng.binomial(200, true) / 200
    found = stats.errors_in_variables(true + rng.normal(0, 0.05, 400), true + rng.normal(0, 0.05, 400), seen, items=200)
    return abs(found.corrected) > 0.2


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


@case("published mean of 5 runs, Student", "coverage", COVERS)
def _(rng: Rng) -> bool:
    x = rng.normal(size=5)
    return inside(stats.published_mean(x.mean(), x.std(ddof=1), 5), 0.0)


@case("jackknife of a mean, n = 20", "coverage", COVERS)
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


def main(repetitions: int = 2000) -> None:
    """Print the table as Markdown."""
    start = time.perf_counter()
    print(f"{repetitions:,} repetitions, seeded\n\n| what | wanted | measured | claimed | |\n|---|---|---|---|---|")
    failed = 0
    for each in SIMULATE.values():
        share, counted = each.share(repetitions)
        claimed = "none" if each.claimed is None else f"{each.claimed[0]:.3g} to {each.claimed[1]:.3g}"
        wanted = {"coverage": ".95", "size": ".05", "power": ".80"}[each.kind]
        verdict = "" if each.holds(share, counted) else "MISSES"
        failed += verdict != ""
        few = f"; {counted:,} not refused" if counted < repetitions else ""
        print(f"| {each.name} | {wanted} | {share:.3f}{few} | {claimed} | {each.note}{verdict} |", flush=True)
    print(f"\n{len(SIMULATE)} cases in {time.perf_counter() - start:,.0f} s, {failed} outside their claim")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
