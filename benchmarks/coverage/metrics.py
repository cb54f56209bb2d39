"""Metrics, of samples with and without weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import stats as theory

from outfield import registry
from outfield.metrics.base import Metric

from .case import COVERS, Rng, case, inside, normal_pair


def importance(rng: Rng, n: int) -> np.ndarray:
    """Weights that carry a normal sample of mean 0 to one of mean .7, and are unequal by as much."""
    x = rng.normal(size=n)
    return np.stack([x, np.exp(0.7 * x)])


MEASURED = {
    "fpr_at_95_id": ("metrics._quantiles.share_at_rank",),
    "fpr_at_95_ood": ("metrics._quantiles.share_at_rank",),
    "aupr_in": ("metrics._precision.area",),
    "aupr_out": ("metrics._precision.area",),
    "accuracy": ("metrics.accuracy.Accuracy.of", "metrics._intervals.share"),
    "nll": ("metrics.nll.Nll.of", "metrics._intervals.of_mean", "metrics._intervals.of_influence"),
    "brier": ("metrics.brier.Brier.of", "metrics._intervals.of_mean"),
    "distance_to_constant": ("metrics.distance_to_constant.DistanceToConstant.of",),
    "ece": ("metrics.ece.Ece.of", "metrics.ece._spread"),
    "balanced_accuracy": ("metrics._intervals.mean_recall",),
}


def _unweighted(name: str, n: int, claimed: tuple[float, float]) -> None:
    extra = ("metrics._intervals._recalls",) if name == "balanced_accuracy" else ()

    @case(f"{name} of {n} inputs", "coverage", claimed, covers=(*MEASURED[name], *extra))
    def run(rng: Rng) -> bool | None:
        metric, x = registry.create("metrics", name), rng.normal(0.7, 1, n)
        if metric.inputs == "ranking":
            found = metric(x, rng.normal(1.7, 1, n))
        else:
            found = metric(said(x), (rng.random(n) < theory.norm.cdf(1 + x)).astype(int))
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


def _weighted(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n} and {n}", "coverage", claimed, covers=MEASURED.get(name, ()))
    def run(rng: Rng) -> bool | None:
        (known, known_weights), (unknown, unknown_weights) = importance(rng, n), importance(rng, n)
        metric = registry.create("metrics", name)
        found = metric(known, unknown + 1, weights=known_weights, ood_weights=unknown_weights)
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


def _weighted_prediction(name: str, n: int, claimed: tuple[float, float]) -> None:
    @case(f"{name} with importance weights, {n}", "coverage", claimed, covers=MEASURED.get(name, ()))
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
        found = metric(*diagnosed(metric, rng, x, unknown), **kinds)
        return None if np.isnan(found.low) else inside(found, weighted_truth(name))


MEAN_MERIT = ("metrics._merits.mean_of", "metrics._intervals.of_influence")
MERITS = {
    "mean_absolute_error": MEAN_MERIT,
    "root_mean_squared_error": ("metrics.root_mean_squared_error.RootMeanSquaredError.of",),
    "mean_return": MEAN_MERIT,
    "exact_match": ("metrics.exact_match.ExactMatch.of", "metrics._intervals.wilson"),
    "error_correlation": ("metrics.error_correlation.ErrorCorrelation.of",),
}


def _merits(n: int, note: str = "") -> None:
    def enter(name: str, of: str, truth: float, draw: Callable[[Rng], tuple[np.ndarray, ...]]) -> None:
        @case(f"{name} of {of}, {n}", "coverage", COVERS if n > 100 else (0.9, 0.99), note, covers=MERITS[name])
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


def diagnosed(metric: Metric, rng: Rng, x: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, ...]:
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
        return float(metric(*diagnosed(metric, rng, x, y)).value)
    labels = (rng.random(len(x)) < theory.norm.cdf(1 + x)).astype(int)
    return float(metric(said(x), labels).value)


_weighted("fpr_at_95_id", 300, (0.92, 1.0))
_weighted("fpr_at_95_ood", 300, (0.92, 1.0))
_weighted_diagnostic("fpr_out_of_scope", 300, (0.92, 1.0))
for _size in (60, 300):
    _weighted("auroc", _size, (0.90, 0.99))
    _weighted_prediction("accuracy", _size, (0.92, 0.99))
    _weighted_prediction("nll", _size, (0.87, 0.985))
    _weighted_prediction("brier", _size, (0.90, 0.985))
    _weighted_prediction("distance_to_constant", _size, (0.90, 0.99))
    _weighted_prediction("ece", _size, (0.92, 1.0))
    _weighted_prediction("balanced_accuracy", _size, (0.90, 0.99))
    _weighted_diagnostic("aurc", _size, (0.92, 0.99))
    for _of in ("auroc_correct_vs_incorrect", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood", "auroc_out_of_scope"):
        _weighted_diagnostic(_of, _size, (0.90, 0.995))


for _of in ("fpr_at_95_id", "aupr_in", "aupr_out"):
    _unweighted(_of, 200, (0.93, 1.0))
for _of in ("accuracy", "balanced_accuracy", "nll", "brier", "ece", "distance_to_constant"):
    _unweighted(_of, 200, (0.90, 1.0))
