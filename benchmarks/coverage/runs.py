"""Runs along training: within each, over several, and reruns."""

from __future__ import annotations

import numpy as np
from scipy import stats as theory

from outfield import stats
from outfield.stats.smooth import residuals
from outfield.trajectory.model import ID, Model

from .case import COVERS, HOLDS, Rng, ar, case, inside


@case("within runs, mean Fisher z, 8 runs, phi = .9", "coverage", COVERS, covers=("stats.runs._mean_z",))
def _(rng: Rng) -> bool:
    return inside(stats.within_runs(ar(rng, 40, 0.9, 8), ar(rng, 40, 0.9, 8)).estimate, 0.0)


@case("within runs by cluster, 8 pairs of kin", "coverage", COVERS, covers=("stats.runs.mean_over_runs",))
def _(rng: Rng) -> bool:
    shared = np.repeat(rng.normal(0, 0.3, 8), 2)
    low, high = stats.mean_over_runs(np.tanh(shared + rng.normal(0, 0.1, 16)), [str(i // 2) for i in range(16)])[1:3]
    return bool(low <= 0 <= high)


@case("within runs, 8 pairs of kin taken for 16 runs", "coverage", None, "why kin are one unit")
def _(rng: Rng) -> bool:
    shared = np.repeat(rng.normal(0, 0.3, 8), 2)
    low, high = stats.mean_over_runs(np.tanh(shared + rng.normal(0, 0.1, 16)))[1:3]
    return bool(low <= 0 <= high)


@case(
    "partial correlation of a trajectory, 8 runs, phi = .9",
    "coverage",
    COVERS,
    covers=("trajectory.model.Model._mean", "trajectory.model._estimate"),
)
def _(rng: Rng) -> bool:
    known, *noise = (ar(rng, 40, 0.9, 8) for _ in range(3))
    model = Model("m", tuple("abcdefgh"), np.arange(40), known, {"a": known + noise[0], "b": known + noise[1]})
    found = model.pair("a", "b")
    return bool(found["low"] <= 0 <= found["high"])


@case("sign test over 12 runs, phi = .9 given a random walk", "size", HOLDS)
def _(rng: Rng) -> bool:
    a, b, given = ar(rng, 30, 0.9, 12), ar(rng, 30, 0.9, 12), ar(rng, 30, 0.99, 12)
    return stats.sign_test(stats.within_runs(a, b, given).per_run) < 0.05


@case("window from a late start, 8 runs, phi = .9", "coverage", COVERS, covers=("stats.windows.over_runs",))
def _(rng: Rng) -> bool:
    found = stats.windows(*(ar(rng, 40, 0.9, 8) for _ in range(3)), steps=[range(40)] * 8, starts=[25])
    return bool(found.low[0] <= 0 <= found.high[0])


FLOOR = "stats.noise_floor"


@case("noise floor, sd of 3 reruns of 60 steps", "coverage", COVERS, covers=(f"{FLOOR}.noise_floor",))
def _(rng: Rng) -> bool:
    return inside(stats.noise_floor(list(rng.normal(0, np.sqrt(2), (3, 60)))).sd, 1.0)


@case("noise floor, sd of 3 reruns of 60 steps, phi = .5", "coverage", (0.90, 0.975))
def _(rng: Rng) -> bool:
    return inside(stats.noise_floor(list(ar(rng, 60, 0.5, 3) * np.sqrt(2))).sd, 1.0)


@case(
    "two reruns differ by less than the smallest difference, sd of 3 reruns of 60 steps",
    "coverage",
    COVERS,
    covers=(f"{FLOOR}.NoiseFloor.smallest_difference",),
)
def _(rng: Rng) -> bool:
    floor = stats.noise_floor(list(rng.normal(0, np.sqrt(2), (3, 60))))
    return bool(abs(np.diff(rng.normal(size=2))[0]) < floor.smallest_difference)


@case(
    "two steps differ by less than the smallest step, sd of 3 reruns of 60 steps about trends",
    "coverage",
    COVERS,
    covers=(f"{FLOOR}.NoiseFloor.smallest_step",),
)
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
    true = learning(rng, 0.02)
    known = answers(rng, true, 600).mean(axis=-1)
    a, b = (answers(rng, np.clip(at + (true - 0.5), 0.02, 0.98), 300).mean(axis=-1) for at in (0.45, 0.5))
    errors = {ID: tuple((known * (1 - known) / 599).mean(axis=1))}
    runs = tuple(map(str, range(6)))
    p = Model("m", runs, np.arange(12), known, {"a": a, "b": b}, error_variances=errors).pair("a", "b")["p"]
    return None if np.isnan(p) else p < 0.05


def _noisy(rng: Rng, id_items: int, items: int, slope: float) -> bool | None:
    """Both OOD accuracies follow the true ID accuracy, and nothing else; None where no p is given."""
    true = learning(rng, 0.02)
    known = answers(rng, true, id_items)
    a, b = (answers(rng, np.clip(at + slope * (true - 0.5), 0.02, 0.98), items).mean(axis=-1) for at in (0.45, 0.5))
    noise = [stats.item_error(run.astype(float)) for run in known]
    found = stats.run_permutation_test(a, b, known.mean(axis=-1), error_variance=noise)
    return None if np.isnan(found.p) else found.p < 0.05


def _given_id(id_items: int, items: int, slope: float, claimed: tuple[float, float] | None, note: str = "") -> None:
    @case(f"run permutation given ID, {id_items} ID and {items} OOD items, slope {slope:g}", "size", claimed, note)
    def run(rng: Rng) -> bool | None:
        return _noisy(rng, id_items, items, slope)


_given_id(600, 300, 1.0, (0.0, 0.08))
_given_id(300, 300, 1.0, (0.0, 0.08))
_given_id(600, 300, 0.3, (0.0, 0.08))
_given_id(200, 2000, 1.0, None, "an ID set a tenth of the OOD sets: its noise hides what runs differ by")


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
