"""Series of a single run."""

from __future__ import annotations

import numpy as np

from outfield import stats
from outfield.errors import UserError

from .case import Rng, ar, case, inside


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


def _effective(phi: float, n: int) -> None:
    name = f"correlation at the effective number of checkpoints, phi = {phi}, n = {n}"

    @case(name, "coverage", (0.9, 0.98), covers=("stats.series.effective_checkpoints",))
    def run(rng: Rng) -> bool | None:
        found = stats.effective_checkpoints(*ar(rng, n, phi, 2)).estimate
        return None if np.isnan(found.low) else inside(found, 0.0)


for _phi, _n in ((0.5, 60), (0.8, 100), (0.9, 100)):
    _effective(_phi, _n)
