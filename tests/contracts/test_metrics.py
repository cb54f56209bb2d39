"""What every metric keeps, by name: finite, in range, blind to the order of rows, pointing the right way."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from outfield import registry
from outfield.errors import UserError
from outfield.metrics.base import IdScores, Metric, Predictions, Ranking

NAMES = registry.names("metrics")
METRICS = {name: registry.create("metrics", name) for name in NAMES}
ISSUE = {
    *("auroc", "fpr_at_95_id", "fpr_at_95_ood", "aupr_in", "aupr_out", "autc", "accuracy", "balanced_accuracy", "ece"),
    *("nll", "brier", "aurc", "auroc_correct_vs_incorrect", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood"),
}
CEILING = {"nll": math.inf, "brier": 2.0} | dict.fromkeys(
    ("mean_absolute_error", "root_mean_squared_error", "mean_return"), math.inf
)
FLOOR = {"mean_return": -math.inf, "error_correlation": -1.0}
MERITS = [name for name in NAMES if METRICS[name].inputs == "merit"]
SCORED = [name for name in NAMES if METRICS[name].inputs in ("ranking", "diagnostic")]
PREDICTED = [name for name in NAMES if METRICS[name].inputs == "predictions"]


def arguments(metric, rng, *, n=60, m=40, apart=1.0):
    """Plain arrays for a metric, as its user passes them; ``apart`` > 0 is the easier case."""
    if metric.inputs == "merit":
        return of_merits(metric, rng, n, apart)
    classes = 5
    labels = rng.integers(classes, size=n)
    if metric.inputs == "predictions":
        return apart * 2 * np.eye(classes)[labels] + rng.normal(size=(n, classes)), labels
    correct = rng.random(n) < 0.7
    scores = rng.normal(size=n) + (apart * ~correct if metric.inputs == "diagnostic" else 0)
    ood = rng.normal(3 * apart, 1, m)
    return {("ranking", True): (scores, ood), ("diagnostic", False): (scores, correct)}.get(
        (metric.inputs, metric.per_set), (scores, correct, ood)
    )


def of_merits(metric, rng, n, apart):
    """Merits, higher where ``apart`` is, and for some metrics a detector's scores, which follow the error as far."""
    if registry.name_of("metrics", metric) == "exact_match":
        return ((rng.random(n) < 0.4 + 0.4 * apart).astype(float),)
    error = np.abs(rng.normal(size=n))
    return (-error, rng.normal(size=n) + apart * error) if metric.of_detector else (-error / apart,)


def shuffled(args, rng):
    """Rows in another order: ID rows together, OOD rows apart."""
    order = rng.permutation(len(args[0]))
    return [array[order if len(array) == len(order) else rng.permutation(len(array))] for array in args]


def test_every_named_metric_is_there():
    assert set(NAMES) >= ISSUE


@pytest.mark.parametrize("name", NAMES)
class TestMetric:
    def test_is_finite_and_in_range_and_inside_its_interval(self, name, rng):
        estimate = METRICS[name](*arguments(METRICS[name], rng))
        assert FLOOR.get(name, 0.0) <= estimate.value <= CEILING.get(name, 1.0)
        assert estimate.n > 0
        if not math.isnan(estimate.low):
            assert FLOOR.get(name, 0.0) <= estimate.low <= estimate.value <= estimate.high <= CEILING.get(name, 1.0)

    def test_has_an_interval_unless_it_says_why_not(self, name, rng):
        estimate = METRICS[name](*arguments(METRICS[name], rng))
        assert math.isnan(estimate.low) == ("No interval" in type(METRICS[name]).__doc__)

    def test_interval_narrows_with_more_samples(self, name, rng):
        few, many = (METRICS[name](*arguments(METRICS[name], rng, n=n, m=n // 2 + 1)) for n in (100, 10_000))
        assert math.isnan(few.low) or many.high - many.low < 0.4 * (few.high - few.low)

    def test_order_of_rows_does_not_matter(self, name, rng):
        args = arguments(METRICS[name], rng)
        args = [np.round(array, 1) if array.dtype.kind == "f" else array for array in args]  # with ties
        first, second = METRICS[name](*args), METRICS[name](*shuffled(args, rng))
        assert asdict(second) == pytest.approx(asdict(first), abs=1e-12, nan_ok=True)

    def test_points_the_way_it_says(self, name, rng):
        easy, hard = (
            METRICS[name](*arguments(METRICS[name], rng, n=900, m=800, apart=apart)).value for apart in (1.2, 0.2)
        )
        if name == "ece":  # the same right or wrong predictions, said with the right and with too much confidence
            easy, hard = METRICS[name](*calibrated(rng)).value, METRICS[name](*calibrated(rng, sharper=3)).value
        assert (easy > hard) == METRICS[name].higher_is_better

    def test_one_sample_of_each_kind_is_enough(self, name, rng):
        metric = METRICS[name]
        args = arguments(metric, rng, n=3 if name == "error_correlation" else 1, m=1)
        correct = name != "auroc_incorrect_vs_ood"
        args = [np.array([correct]) if array.dtype == bool else array for array in args]
        if name == "auroc_correct_vs_incorrect":
            args = (np.array([0.0, 1.0]), np.array([True, False]))
        assert math.isfinite(metric(*args).value)

    def test_empty_and_nan_are_refused_with_the_way_out(self, name, rng):
        metric = METRICS[name]
        args = arguments(metric, rng)
        for position, array in enumerate(args):
            empty = [other[:0] if place == position else other for place, other in enumerate(args)]
            with pytest.raises(UserError, match="Expected"):
                metric(*empty)
            if array.dtype.kind == "f":
                spoilt = array.copy()
                spoilt[3] = np.nan
                with pytest.raises(UserError, match="NaN"):
                    metric(*[spoilt if place == position else other for place, other in enumerate(args)])

    def test_is_a_frozen_value_that_names_itself(self, name):
        metric = METRICS[name]
        assert isinstance(metric, Metric)
        assert registry.name_of("metrics", metric) == name
        assert registry.create("metrics", name, **asdict(metric)) == metric
        assert metric.label


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
