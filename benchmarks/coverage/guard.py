"""The guard: audited and prediction-powered rates, changed verdicts, accuracy without labels."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield import registry
from outfield.estimators.base import Answered
from outfield.guard.feedback import certified_rate, findings, prediction_powered_mean
from outfield.reports.displays.estimates import _mean
from outfield.stats import Panel, intervals

from .case import COVERS, HOLDS, Rng, case, inside


@case("prediction-powered rate, 400 of 20,000 labelled, rate .1, flags right in 90%", "coverage", COVERS)
def _(rng: Rng) -> bool:
    wrong = rng.random(20_000) < 0.1
    flag = np.where(rng.random(20_000) < 0.9, wrong, ~wrong)
    return inside(prediction_powered_mean(wrong[:400], flag[:400], flag[400:]), 0.1)


@case("audited rate, Clopper-Pearson, 400 labelled, rate .04", "coverage", (0.94, 1.0))
def _(rng: Rng) -> bool:
    return inside(certified_rate(int(rng.binomial(400, 0.04)), 400), 0.04)


@case("audit confirms a promise that is broken: rate .051 against .05, 3,000 labelled", "size", HOLDS)
def _(rng: Rng) -> bool:
    flag = rng.random(3_000) < 0.051
    ids = [str(row) for row in range(len(flag))]
    known = pl.DataFrame({"answer": ids, "verdict": np.where(flag, "ood", "id"), "audited": True})
    known = known.with_columns(prediction=pl.lit("a"), label=pl.lit("a"))
    return findings(known, known).verdict == "confirmed"


for _share, _inputs in ((0.002, 1_000), (0.01, 2_000), (0.2, 100)):

    @case(
        f"share of changed verdicts {_share:g}, Clopper-Pearson, {_inputs:,}", "coverage", (0.95, 1.0),
        covers=("stats.intervals.clopper_pearson",),
    )  # fmt: skip
    def _(rng: Rng, share: float = _share, n: int = _inputs) -> bool:
        low, high = intervals.clopper_pearson(int(rng.binomial(n, share)), n)
        return low <= share <= high


def classified(rng: Rng, n: int, scale: float) -> Answered:
    """Overconfident logits of four classes whose labels follow the true ones at any scale: a shift that keeps them."""
    true = scale * rng.normal(size=(n, 4))
    return Answered(3 * true, (true + rng.gumbel(size=true.shape)).argmax(axis=1))


@cache
def accuracy_at(scale: float) -> float:
    return float(classified(np.random.default_rng(99), 200_000, scale).correct.mean())


for _name, _scale in (
    ("average_confidence", 2.0), ("average_confidence", 1.2), ("difference_of_confidences", 2.0),
    ("average_thresholded_confidence", 2.0),
):  # fmt: skip
    _shift = "no shift" if _scale == 2.0 else "a shift that keeps the labels"

    @case(f"accuracy by {_name.replace('_', ' ')}, {_shift}, 500 and 300", "coverage", (0.9, 0.98))
    def _(rng: Rng, name: str = _name, scale: float = _scale) -> bool:
        known, batch = classified(rng, 500, 2.0), Answered(classified(rng, 300, scale).logits)
        found = registry.create("estimators", name).estimate(known, batch, draws=50, seed=int(rng.integers(2**31)))
        return inside(found, accuracy_at(scale))


def students(values: np.ndarray, within: tuple[float, float]) -> tuple[float, float]:
    """The interval of a mean over models that a report prints."""
    names = tuple(map(str, range(len(values))))
    _, low, high, _ = _mean(Panel(values[:, None], names, names, np.arange(len(values)), "model"), within)
    return low, high


OF_MEANS = ("reports.displays.estimates._mean",)


@case("mean absolute error of an estimator, Student over 7 models of 14 sets", "coverage", COVERS, covers=OF_MEANS)
def _(rng: Rng) -> bool:
    off = np.abs(rng.normal(rng.normal(0.03, 0.02, (7, 1)), 0.03, (7, 14))).mean(axis=1)
    low, high = students(off, (0.0, 1.0))
    return bool(low <= mean_error() <= high)


@cache
def mean_error() -> float:
    rng = np.random.default_rng(99)
    return float(np.abs(rng.normal(rng.normal(0.03, 0.02, (100_000, 1)), 0.03, (100_000, 14))).mean())


@case("mean rank agreement of an estimator, Student over 7 models of 14 sets", "coverage", (0.88, 0.975))
def _(rng: Rng) -> bool:
    low, high = students(agreements(rng, 7), (-1.0, 1.0))
    return bool(low <= mean_agreement() <= high)


def agreements(rng: Rng, models: int) -> np.ndarray:
    """Spearman of truth and a noisy estimate over 14 sets of each model."""
    truth = rng.normal(size=(models, 14))
    ranks = [theory.rankdata(some, axis=1) - 7.5 for some in (truth, truth + rng.normal(0, 0.5, (models, 14)))]
    return np.asarray((ranks[0] * ranks[1]).sum(axis=1) / (ranks[0] ** 2).sum(axis=1))


@cache
def mean_agreement() -> float:
    return float(agreements(np.random.default_rng(99), 100_000).mean())
