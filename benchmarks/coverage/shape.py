"""The form of a relation: turns, breaks, and lines of two parts."""

from __future__ import annotations

import numpy as np

from outfield import stats

from .case import COVERS, HOLDS, Rng, case, inside


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
