"""Shares and components of variance."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from outfield import stats
from outfield.stats.reml import Reml

from .case import COVERS, HOLDS, Rng, case, inside


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
    many = stats.anova(design(np.random.default_rng(0), 5_000), FACTORS, interval="none")
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


CLOSED, PROFILE = ("stats.components._closed",), ("stats.reml.Reml.interval",)


@case("variance component of 12 models x 4, generalised", "coverage", (0.92, 0.98), covers=CLOSED)
def _(rng: Rng) -> bool:
    row = stats.variance_components(rng.normal(size=(12, 1)) + rng.normal(size=(12, 4)), ("model",)).frame()
    return bool(row["low"][0] <= 1 <= row["high"][0])


@case("variance component of 0, 12 models x 4, generalised", "coverage", (0.95, 1.0))
def _(rng: Rng) -> bool:
    return bool(stats.variance_components(rng.normal(size=(12, 4)), ("model",)).frame()["low"][0] == 0)


@case("variance component of 16 models x 2 to 6, profile likelihood", "coverage", (0.9, 0.98), covers=PROFILE)
def _(rng: Rng) -> bool:
    level = np.repeat(np.arange(16), np.arange(16) % 5 + 2)
    y = rng.normal(size=16)[level] + rng.normal(size=len(level))
    low, high = Reml(y, np.zeros(len(y), int), (level,)).interval(0)
    return bool(low <= 1 <= high)


def _interaction(values: np.ndarray) -> dict[str, Any]:
    """The interaction of family and set, of values of 36 models of three families [36, sets]."""
    model, of_set = (each.ravel() for each in np.indices(values.shape))
    rows = pl.DataFrame({"model": model, "family": model % 3, "set": of_set, "value": values.ravel()})
    return stats.repeated_measures(rows, "family", "set", "model").row("family x set")


@case(
    "partial eta2 of family x set within 36 models, jackknife",
    "coverage",
    (0.9, 0.98),
    covers=("stats.repeated_measures.repeated_measures",),
)
def _(rng: Rng) -> bool:
    family, effect = np.arange(36) % 3, np.outer([-1, 0, 1], [-0.5, 0, 0, 0.5])
    y = rng.normal(size=(36, 1)) + effect[family] + rng.normal(size=(36, 4))
    row = _interaction(y)
    truth = (effect**2).mean() / ((effect**2).mean() + 0.75)
    return bool(row["partial_eta2_low"] <= truth <= row["partial_eta2_high"])


@case("family x set within 36 models, sets of unequal spread, Greenhouse-Geisser", "size", HOLDS)
def _(rng: Rng) -> bool:
    y = rng.normal(size=(36, 1)) + rng.normal(size=(36, 4)) * np.array([0.2, 0.5, 1, 3])
    return bool(_interaction(y)["p_gg"] < 0.05)
