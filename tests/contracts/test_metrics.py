"""Our own metrics keep their contract; what those of one kind keep beside."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from outfield import registry
from outfield.errors import UserError
from outfield.metrics.base import IdScores, Predictions, Ranking
from outfield.testing.metrics import CHECKS, Case, usual

NAMES = registry.own("metrics")
METRICS = {name: registry.create("metrics", name) for name in NAMES}
ISSUE = {
    *("auroc", "fpr_at_95_id", "fpr_at_95_ood", "aupr_in", "aupr_out", "autc", "accuracy", "balanced_accuracy", "ece"),
    *("nll", "brier", "aurc", "auroc_correct_vs_incorrect", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood"),
}
CEILING = {"nll": math.inf, "distance_to_constant": math.inf, "brier": 2.0} | dict.fromkeys(
    ("mean_absolute_error", "root_mean_squared_error", "mean_return"), math.inf
)
FLOOR = {"mean_return": -math.inf, "error_correlation": -1.0}
MERITS = [name for name in NAMES if METRICS[name].inputs == "merit"]
SCORED = [name for name in NAMES if METRICS[name].inputs in ("ranking", "diagnostic")]
PREDICTED = [name for name in NAMES if METRICS[name].inputs == "predictions"]


def arguments(metric, rng):
    """Plain arrays for a metric, as its user passes them."""
    return usual(metric)(rng, 60, 1.0)


def test_every_named_metric_is_there():
    assert set(NAMES) >= ISSUE


def binary_merits(rng, n, apart):
    return ((rng.random(n) < 0.4 + 0.4 * apart).astype(float),)


DRAWN = {"exact_match": binary_merits}
FEWEST = {
    "auroc_correct_vs_incorrect": (np.array([0.0, 1.0]), np.array([True, False])),
    "auroc_correct_vs_ood": (np.zeros(1), np.array([True]), np.ones(1)),
    "auroc_out_of_scope": (np.zeros(1), np.array([True]), np.ones(1)),
    "fpr_out_of_scope": (np.zeros(1), np.array([True]), np.ones(1)),
    "auroc_incorrect_vs_ood": (np.zeros(1), np.array([False]), np.ones(1)),
    "error_correlation": (-np.arange(3.0), np.array([0.0, 2.0, 1.0])),
}


def case(name):
    """Of a metric; ECE is better for the same answers with the right confidence, not with too much."""
    rng = np.random.default_rng(7)
    ends = (calibrated(rng), calibrated(rng, sharper=3)) if name == "ece" else None
    draw = DRAWN.get(name, usual(METRICS[name]))
    return Case(METRICS[name], draw, FLOOR.get(name, 0.0), CEILING.get(name, 1.0), FEWEST.get(name), ends)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name, check):
    check(case(name))


@pytest.mark.parametrize("name", [name for name in (*SCORED, "error_correlation") if name != "autc"])
def test_rank_metrics_ignore_monotone_transforms(name, rng):
    metric = METRICS[name]
    args = arguments(metric, rng)
    changed = [np.exp(array / 2) - 5 if array.dtype.kind == "f" else array for array in args]
    assert asdict(metric(*changed)) == pytest.approx(asdict(metric(*args)), nan_ok=True)


def test_autc_moves_with_the_scale_but_not_with_unit_or_origin(rng):
    args = arguments(METRICS["autc"], rng)
    value = METRICS["autc"](*args).value
    assert METRICS["autc"](*(array * 40 - 3 for array in args)).value == pytest.approx(value)
    assert abs(METRICS["autc"](*map(np.exp, args)).value - value) > 0.01


@pytest.mark.parametrize("name", PREDICTED)
def test_predictions_ignore_a_constant_added_to_a_rows_logits(name, rng):
    logits, labels = arguments(METRICS[name], rng)
    moved = METRICS[name](logits + rng.normal(size=(len(labels), 1)), labels)
    assert asdict(moved) == pytest.approx(asdict(METRICS[name](logits, labels)))


@pytest.mark.parametrize("name", SCORED)
def test_float32_and_float64_scores_agree(name, rng):
    args = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in arguments(METRICS[name], rng)]
    wide = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in args]
    assert METRICS[name](*args).value == pytest.approx(METRICS[name](*wide).value, abs=1e-6)


@pytest.mark.parametrize("correct", [True, False])
def test_diagnostics_say_when_there_is_nothing_to_compare(correct):
    scores = IdScores([0.1, 0.2], [correct, correct])
    ranking = scores.against([0.3])
    assert not METRICS["auroc_correct_vs_incorrect"].defined(scores)
    assert METRICS["auroc_correct_vs_ood"].defined(ranking) == correct
    assert METRICS["auroc_incorrect_vs_ood"].defined(ranking) != correct
    with pytest.raises(UserError, match=r"classified ID samples, but all 2 are (right|wrong)"):
        METRICS["auroc_correct_vs_incorrect"].of(scores)


def test_faults_name_what_is_wrong():
    with pytest.raises(UserError, match="one for each ID score"):
        IdScores([0.1, 0.2], [True])
    with pytest.raises(UserError, match="`correct` was not given"):
        METRICS["aurc"].of(IdScores([0.1]))
    with pytest.raises(UserError, match=r"labels as integers in 0 \.\. 1"):
        Predictions(np.zeros((2, 2)), [0, 2])
    with pytest.raises(UserError, match="in 1 of 2 rows"):
        Predictions([[0.0, math.nan], [0.0, 1.0]], [0, 1])
    with pytest.raises(UserError, match="finite scores"):
        METRICS["autc"]([0.0, math.inf], [1.0])
    with pytest.raises(UserError, match=r"shape \[2, 1\]"):
        METRICS["auroc"]([[0.0], [1.0]], [1.0])


def test_one_class_and_infinite_scores_have_values():
    assert METRICS["accuracy"]([[1.0], [2.0]], [0, 0]).value == 1
    assert METRICS["auroc"]([-math.inf, 0.0], [0.0, math.inf]).value == pytest.approx(0.875)


def test_id_scores_are_sorted_once_and_serve_every_set(rng, monkeypatch):
    scores = IdScores(rng.normal(size=50))
    monkeypatch.setattr(np, "argsort", None)
    values = scores.values
    assert all(isinstance(scores.against(rng.normal(size=9)), Ranking) for _ in range(3))
    assert scores.values is values


def calibrated(rng, n=5000, sharper=1.0):
    logits = rng.normal(0, 2, (n, 5))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits * sharper, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.fixture
def rng():
    return np.random.default_rng(7)
