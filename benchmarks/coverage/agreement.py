"""How far models agree about correlations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from outfield import stats

from .case import COVERS, WIDE, Rng, case, inside, normal_pair


@case("heterogeneity Q, 10 models of 30 points", "size", (0.03, 0.065))
def _(rng: Rng) -> bool:
    z = [np.arctanh(np.corrcoef(*normal_pair(rng, 30, 0.3))[0, 1]) for _ in range(10)]
    return stats.heterogeneity(z, np.full(10, 1 / np.sqrt(27))).p < 0.05


POOLED = ("stats.agreement._random_mean", "stats.agreement._i2")


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


def _agreed(models: int) -> None:
    over, shares = ("stats.agreement._over_models",), ("stats.agreement.agreement",)

    @case(f"agreement of a pair, {models} models", "coverage", WIDE, covers=POOLED[:1])
    def pair(rng: Rng) -> bool:
        row = models_of_pairs(rng, models).frame().row(0, named=True)
        return bool(row["low"] <= true_agreement()[0] <= row["high"])

    @case(f"mean agreement of all pairs, {models} models", "coverage", COVERS, covers=over)
    def mean(rng: Rng) -> bool:
        return inside(models_of_pairs(rng, models).mean, true_agreement()[1])

    @case(f"share of positive pairs, {models} models", "coverage", WIDE, covers=shares)
    def positive(rng: Rng) -> bool:
        return inside(models_of_pairs(rng, models).positive, true_agreement()[2])


for _models in (3, 4, 6, 10):
    _agreed(_models)
