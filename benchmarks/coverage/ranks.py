"""Mean ranks, tests of ranks, and worths."""

from __future__ import annotations

from functools import cache

import numpy as np

from outfield import stats
from outfield.types import Estimate

from .case import COVERS, HOLDS, Rng, case, inside


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
