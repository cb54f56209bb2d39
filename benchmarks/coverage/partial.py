"""Partial correlations, and what noise of the measures does to them."""

from __future__ import annotations

import numpy as np

from outfield import stats
from outfield.stats.attenuation import Disattenuated
from outfield.stats.smooth import SMOOTHERS, Smoother

from .case import COVERS, Rng, case, inside, normal_pair


def given(rng: Rng, n: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two measures [n] that have a third in common, and the third."""
    x = rng.normal(size=n)
    return x + rng.normal(size=n), x + rng.normal(size=n), x


def _partial(smoother: Smoother, n: int) -> None:
    covers = ("stats.partial._partial_estimate",)

    @case(f"partial correlation, {smoother}, truth 0, n = {n}", "coverage", COVERS, covers=covers)
    def run(rng: Rng) -> bool:
        return inside(stats.partial_correlation(*given(rng, n), smoothers=[smoother]).estimates[smoother], 0.0)


for _smoother in SMOOTHERS:
    for _n in (12, 48):
        _partial(_smoother, _n)


@case("plain correlation beside a partial one, n = 48", "coverage", COVERS, covers=("stats.partial._plain",))
def _(rng: Rng) -> bool:
    return inside(stats.partial_correlation(*given(rng), smoothers=["linear"]).estimates["plain"], 0.5)


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


@case(
    "reliability of .7 from standard errors, 36 models, jackknife",
    "coverage",
    COVERS,
    covers=("stats.attenuation.cell_reliability",),
)
def _(rng: Rng) -> bool:
    seen = rng.normal(size=36) + np.sqrt(3 / 7) * rng.normal(size=36)
    return inside(stats.cell_reliability(seen, np.full(36, np.sqrt(3 / 7))).reliability, 0.7)


def _less_noise(n: int, share: float) -> None:
    covers, what = ("stats.attenuation._estimate",), f"reliability {share}, n = {n}"

    @case(f"correlation of .6 less noise, {what}", "coverage", (0.88, 1.0), covers=covers)
    def pair(rng: Rng) -> bool | None:
        se = np.sqrt((1 - share) / share)
        a, b = (each + se * rng.normal(size=n) for each in normal_pair(rng, n, 0.6))
        found = stats.disattenuated_correlation(a, b, errors=[np.full(n, se)] * 2, draws=400).corrected
        return None if np.isnan(found.low) else inside(found, 0.6)

    @case(f"partial correlation of 0 less noise of ID, {what}", "coverage", (0.9, 1.0), covers=covers)
    def partial(rng: Rng) -> bool | None:
        found = _given_noisy(rng, n, share).corrected
        return None if np.isnan(found.low) else inside(found, 0.0)


for _n, _share in ((24, 0.8), (48, 0.8), (48, 0.5)):
    _less_noise(_n, _share)


def _given_noisy(rng: Rng, n: int, share: float) -> Disattenuated:
    """Two measures that agree by a third alone, which is seen with noise."""
    true, se = rng.normal(size=n), np.sqrt((1 - share) / share)
    a, b = true + 0.7 * rng.normal(size=(2, n))
    errors = [None, None, np.full(n, se)]
    return stats.disattenuated_correlation(a, b, true + se * rng.normal(size=n), errors=errors, draws=400)


@case("partial correlation of 0, noise of ID left in, reliability 0.8, n = 48", "coverage", None, "what noise fakes")
def _(rng: Rng) -> bool:
    return inside(_given_noisy(rng, 48, 0.8).raw, 0.0)


@case(
    "correlation of noisy measures as it is seen, n = 48",
    "coverage",
    COVERS,
    covers=("stats.attenuation.disattenuated_correlation",),
)
def _(rng: Rng) -> bool:
    x, y = normal_pair(rng, 48, 0.6)
    return inside(stats.disattenuated_correlation(x, y, errors=[np.full(48, 0.3)] * 2, draws=1).raw, 0.6)
