"""Correlations, their differences, and lines of accuracies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from scipy import stats as theory

from outfield import stats
from outfield.stats.difference_of_correlations import CorrelationDifference

from .case import COVERS, HOLDS, Rng, case, inside, normal_pair

Kind = Literal["pearson", "spearman"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def spearman_of(r: float) -> float:
    """Spearman's correlation of normal measures whose Pearson correlation is ``r``."""
    return float(6 / np.pi * np.arcsin(r / 2))


def _correlations(n: int, r: float) -> None:
    def enter(name: str, measure: Callable[..., stats.Correlation], truth: float, scale: str) -> None:
        covers = ("stats.relate._closed", "stats.relate._correlate", f"stats.intervals.{scale}")

        @case(f"{name}, n = {n}, r = {r}", "coverage", COVERS, covers=covers)
        def run(rng: Rng) -> bool:
            return inside(measure(*normal_pair(rng, n, r)).estimate, truth)

    enter("spearman, Bonett-Wright", stats.spearman, spearman_of(r), "bonett_wright")
    enter("kendall, Fieller", stats.kendall, 2 / np.pi * np.arcsin(r), "fisher")
    enter("pearson, Fisher", stats.pearson, r, "fisher")


for _n in (12, 48):
    for _r in (0.0, 0.6):
        _correlations(_n, _r)


RESAMPLED = ("stats.intervals.resampled", "stats.intervals._corrected", "stats.intervals._quantile_each")


@case("spearman, bootstrap over units, n = 36, r = .6", "coverage", (0.90, 0.975), covers=RESAMPLED)
def _(rng: Rng) -> bool:
    found = stats.spearman(*normal_pair(rng, 36, 0.6), interval="bootstrap", draws=300, seed=int(rng.integers(1e9)))
    return inside(found.estimate, spearman_of(0.6))


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


@case("band about the line of accuracies, n = 30", "coverage", COVERS, covers=("stats._plots.line",))
def _(rng: Rng) -> bool:
    u = rng.normal(0.7, 0.2, 30)
    v = 0.9 * u - 0.5 + rng.normal(0, 0.1, 30)
    chart = stats.accuracy_on_the_line(theory.norm.cdf(u), theory.norm.cdf(v)).plot().to_dict()
    drawn = chart["layer"][0]["data"]
    row = (drawn["values"] if "values" in drawn else chart["datasets"][drawn["name"]])[20]
    return bool(row["low"] <= 0.9 * row["u"] - 0.5 <= row["high"])


def _two(rng: Rng, n: int, kind: Kind, which: str) -> CorrelationDifference:
    """Two correlations of equal strength: of different units, or of the same with or without a measure in common."""
    if which == "different units":
        return stats.difference_of_correlations(normal_pair(rng, n, 0.6), normal_pair(rng, n, 0.6), kind=kind)
    common = rng.normal(size=n)
    x, y, u, v = 0.8 * common + 0.6 * rng.normal(size=(4, n))
    first, second = ((x, y), (u, y)) if which == "one in common" else ((x, y), (u, v))
    return stats.difference_of_correlations(first, second, same_units=True, kind=kind)


def _difference(n: int, kind: Kind, which: str) -> None:
    covers = tuple(f"stats.difference_of_correlations.{each}" for each in ("_interval", "difference_of_correlations"))

    @case(f"difference of correlations, {kind}, {which}, n = {n}", "coverage", COVERS, covers=covers)
    def difference(rng: Rng) -> bool:
        return inside(_two(rng, n, kind, which).difference, 0.0)

    @case(f"test of a difference of correlations, {kind}, {which}, n = {n}", "size", HOLDS)
    def test(rng: Rng) -> bool:
        return _two(rng, n, kind, which).p < 0.05


def _published(kind: Kind) -> None:
    covers = ("stats.published.published_correlation",)

    @case(f"published {kind} correlation of .6, n = 48", "coverage", COVERS, covers=covers)
    def run(rng: Rng) -> bool:
        x, y = normal_pair(rng, 48, 0.6)
        value = float(theory.pearsonr(x, y)[0] if kind == "pearson" else theory.spearmanr(x, y)[0])
        truth = 0.6 if kind == "pearson" else spearman_of(0.6)
        return inside(stats.published_correlation(value, 48, kind=kind).estimate, truth)


for _kind in KINDS:
    _published(_kind)
    for _which in ("different units", "one in common", "none in common"):
        for _n in (16, 48):
            _difference(_n, _kind, _which)
