"""Metrics on whatever a user may pass: the value of a plain second opinion, or a ``UserError``; nothing else."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peers

from outfield import registry
from outfield.errors import UserError
from outfield.metrics.base import IdScores
from tests.properties.support import attacked

NAMES = registry.own("metrics")
METRICS = {name: registry.create("metrics", name) for name in NAMES}
RANKED = [name for name in NAMES if METRICS[name].inputs == "ranking"]
PREDICTED = [name for name in NAMES if METRICS[name].inputs == "predictions"]
CEILING = {"nll": math.inf, "distance_to_constant": math.inf, "brier": 2.0}
CONTAINERS = {
    "list": lambda array: array.tolist(),
    "array": lambda array: array,
    "tensor": torch.tensor,
    "with a gradient": lambda array: torch.tensor(array, dtype=torch.float64).requires_grad_(),
    "pandas": lambda array: (
        pd.Series(array, index=range(5, 5 + len(array))) if array.ndim == 1 else pd.DataFrame(array)
    ),
    "polars": lambda array: pl.Series(array) if array.ndim == 1 else pl.DataFrame(array),
    "float16": lambda array: array.astype(np.float16),
    "bfloat16": lambda array: torch.tensor(array, dtype=torch.bfloat16),
    "objects": lambda array: array.astype(object),
}
eighths = st.integers(-24, 24).map(lambda k: k / 8)
"""Numbers that float16 and bfloat16 hold, with ties."""
weights_of = st.lists(st.integers(0, 3), min_size=1, max_size=9).filter(any)


def pairwise(id_scores, ood_scores):
    """AUROC over all pairs."""
    return np.mean([(a < b) + (a == b) / 2 for a in id_scores for b in ood_scores])


def accepted(id_scores, ood_scores):
    """Share of OOD at or below the smallest ID score that keeps 95% of ID."""
    at = next(t for t in sorted(id_scores) if np.mean(np.asarray(id_scores) <= t) >= 0.95)
    return np.mean(np.asarray(ood_scores) <= at)


def average_precision(positives, negatives):
    """Average precision over all pairs; a higher score is more positive."""
    return np.mean([np.sum(positives >= t) / (np.sum(positives >= t) + np.sum(negatives >= t)) for t in positives])


def threshold_curve(id_scores, ood_scores):
    low, high = min(*id_scores, *ood_scores), max(*id_scores, *ood_scores)
    scaled = [(np.asarray(s) - low) / (high - low) if high > low else np.zeros(len(s)) for s in (id_scores, ood_scores)]
    return (scaled[0].mean() + 1 - scaled[1].mean()) / 2


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def calibration(logits, labels):
    p = softmax(logits)
    bins = np.clip(np.ceil(p.max(1) * 15).astype(int) - 1, 0, 14)
    right = p.argmax(1) == labels
    return sum(abs(np.sum((p.max(1) - right)[bins == b])) for b in range(15)) / len(labels)


def constant_answer(logits, labels):
    """KL of the probabilities from the shares of the labels, with a thousandth of uniform among these."""
    p = softmax(logits)
    shares = 0.999 * np.eye(logits.shape[1])[labels].mean(axis=0) + 0.001 / logits.shape[1]
    return max(0.0, np.mean((p * np.log(p / shares)).sum(axis=1)))


SECOND = {
    "auroc": pairwise,
    "fpr_at_95_id": accepted,
    "fpr_at_95_ood": lambda a, b: accepted([-x for x in b], [-x for x in a]),
    "aupr_out": lambda a, b: average_precision(np.asarray(b), np.asarray(a)),
    "aupr_in": lambda a, b: average_precision(-np.asarray(a), -np.asarray(b)),
    "autc": threshold_curve,
    "accuracy": lambda z, y: np.mean(z.argmax(1) == y),
    "balanced_accuracy": lambda z, y: np.mean([np.mean(z[y == c].argmax(1) == c) for c in set(y)]),
    "distance_to_constant": constant_answer,
    "ece": calibration,
    "nll": lambda z, y: -np.mean(np.log(softmax(z)[np.arange(len(y)), y])),
    "brier": lambda z, y: np.mean(((softmax(z) - np.eye(z.shape[1])[y]) ** 2).sum(1)),
}


def risk(scores, correct):
    """AURC, the mean over many orders of equal scores in closed form: each tie's errors spread evenly over it."""
    scores, wrong = np.asarray(scores), 1.0 - np.asarray(correct)
    spread = np.array([wrong[scores == s].mean() for s in sorted(scores)])
    return np.mean(np.cumsum(spread) / np.arange(1, len(spread) + 1))


def check(name, estimate, expected):
    assert estimate.value == pytest.approx(expected, rel=1e-9, abs=1e-12), name
    assert math.isnan(estimate.low) == math.isnan(estimate.high)
    if not math.isnan(estimate.low):
        floor = 0.0
        assert floor <= estimate.low <= estimate.value + 1e-12, name
        assert estimate.value - 1e-12 <= estimate.high <= CEILING.get(name, 1.0), name


@attacked
@given(st.data(), weights_of, weights_of, st.sampled_from(sorted(CONTAINERS)))
def test_rankings_are_those_of_all_pairs_and_of_repeated_rows(data, known, unknown, kind):
    scores = [np.array(data.draw(st.lists(eighths, min_size=len(w), max_size=len(w)))) for w in (known, unknown)]
    repeated = [np.repeat(s, w) for s, w in zip(scores, (known, unknown), strict=True)]
    as_kind = CONTAINERS[kind]
    for name in RANKED:
        plain = METRICS[name](*map(as_kind, repeated))
        check(name, plain, SECOND[name](*repeated))
        weighted = METRICS[name](*map(as_kind, scores), weights=known, ood_weights=as_kind(np.array(unknown, float)))
        check(name, weighted, plain.value)


@attacked
@given(st.data(), weights_of, st.sampled_from(sorted(CONTAINERS)))
def test_predictions_are_those_of_plain_formulae_and_of_repeated_rows(data, weights, kind):
    n, as_kind = len(weights), CONTAINERS[kind]
    logits = np.array(data.draw(st.lists(st.lists(eighths, min_size=3, max_size=3), min_size=n, max_size=n)))
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    labels_as = data.draw(st.sampled_from([np.uint8, np.int64, float, np.float16]))
    for name in PREDICTED:
        plain = METRICS[name](as_kind(np.repeat(logits, weights, axis=0)), np.repeat(labels, weights).astype(labels_as))
        check(name, plain, SECOND[name](np.repeat(logits, weights, axis=0), np.repeat(labels, weights)))
        check(name, METRICS[name](as_kind(logits), labels.astype(labels_as), weights=weights), plain.value)


@attacked
@given(st.data(), weights_of)
def test_diagnostics_are_those_of_repeated_rows(data, weights):
    n = len(weights)
    scores = np.array(data.draw(st.lists(eighths, min_size=n, max_size=n)))
    correct = np.array(data.draw(st.lists(st.sampled_from([True, False]), min_size=n, max_size=n)))
    rows, right = np.repeat(scores, weights), np.repeat(correct, weights)
    check("aurc", METRICS["aurc"](scores, correct, weights=weights), risk(rows, right))
    check(
        "aurc", METRICS["aurc"](rows, right.astype(data.draw(st.sampled_from([int, float, bool])))), risk(rows, right)
    )
    for part, name in ((right, "auroc_correct_vs_ood"), (~right, "auroc_incorrect_vs_ood")):
        if part.any():
            found = METRICS[name](scores, correct, [0.0, 1.0], weights=weights, ood_weights=[1, 2])
            check(name, found, pairwise(rows[part], [0.0, 1.0, 1.0]))
    if right.any() and not right.all():
        found = METRICS["auroc_correct_vs_incorrect"](scores, correct, weights=weights)
        check("auroc", found, pairwise(rows[right], rows[~right]))


odd = st.one_of(
    st.floats(allow_nan=True), st.integers(-3, 3), st.none(), st.text(max_size=2), st.booleans(), st.complex_numbers()
)
hostile = st.one_of(odd, st.lists(odd, max_size=4), st.lists(st.lists(odd, max_size=2), max_size=3))


@attacked
@given(st.sampled_from(NAMES), st.lists(hostile, min_size=3, max_size=3), hostile)
def test_what_cannot_be_measured_is_refused(name, args, weights):
    metric = METRICS[name]
    given = {} if metric.inputs == "merit" else {"weights": weights}
    known = {"ranking": 2, "predictions": 2, "merit": 1 + getattr(metric, "of_detector", False)}
    arity = known.get(metric.inputs, 3 if metric.per_set else 2)
    try:
        found = metric(*args[:arity], **given)
    except UserError:
        return
    assert not math.isnan(found.value)


@pytest.mark.parametrize("seed", range(12))
def test_weighted_values_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    scores, weights, labels = rng.integers(-9, 9, 12) / 8, rng.exponential(size=12), np.repeat([0, 1], 6)
    given_weights = {"weights": weights[:6], "ood_weights": weights[6:]}
    auroc = METRICS["auroc"](scores[:6], scores[6:], **given_weights)
    check("auroc", auroc, peers.roc_auc_score(labels, scores, sample_weight=weights))
    aupr = METRICS["aupr_out"](scores[:6], scores[6:], **given_weights)
    check("aupr_out", aupr, peers.average_precision_score(labels, scores, sample_weight=weights))
    logits, said = np.stack([-scores, scores], axis=1), (scores > 0).astype(int)
    for name, peer in (("accuracy", peers.accuracy_score), ("balanced_accuracy", peers.balanced_accuracy_score)):
        check(name, METRICS[name](logits, labels, weights=weights), peer(labels, said, sample_weight=weights))
    nll = peers.log_loss(labels, softmax(logits), sample_weight=weights)
    check("nll", METRICS["nll"](logits, labels, weights=weights), nll)


@pytest.mark.parametrize("weights", [[0, 0, 0], [1, -1, 1], [1, math.nan, 1], [1, math.inf, 1], [1, 1], ["a", 1, 1]])
@pytest.mark.parametrize("name", [name for name in NAMES if METRICS[name].inputs != "merit"])
def test_weights_that_are_none_are_refused(name, weights):
    metric = METRICS[name]
    args = {
        "ranking": ([0.0, 1.0, 2.0], [1.0]),
        "predictions": (np.eye(3), [0, 1, 2]),
        "diagnostic": ([0.0, 1.0, 2.0], [1, 0, 1], *([[1.0]] if metric.per_set else [])),
    }[metric.inputs]
    with pytest.raises(UserError, match="Expected (ID|sample) weights"):
        metric(*args, weights=weights)


@pytest.mark.parametrize("correct", [[1, 2, 0], [1, math.nan, 0], ["a", "b", "a"], [0.5, 1, 0], [True, None, False]])
def test_correct_is_true_or_false(correct):
    with pytest.raises(UserError, match="`correct`"):
        IdScores([0.0, 1.0, 2.0], correct)
    with pytest.raises(UserError, match="`correct`"):
        METRICS["aurc"]([0.0, 1.0, 2.0], correct)


def test_equal_weights_have_the_intervals_of_none():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(size=50).round(1), rng.normal(1, 1, 40).round(1)
    for name in ("auroc", "fpr_at_95_id"):
        plain, equal = (
            METRICS[name](known, unknown),
            METRICS[name](known, unknown, weights=[3.0] * 50, ood_weights=[3.0] * 40),
        )
        assert (equal.low, equal.high) == pytest.approx((plain.low, plain.high), abs=1e-9, nan_ok=True), name
    logits, labels = rng.normal(size=(60, 3)), rng.integers(3, size=60)
    for name in PREDICTED:
        plain, equal = METRICS[name](logits, labels), METRICS[name](logits, labels, weights=[0.2] * 60)
        assert (equal.value, equal.low, equal.high) == pytest.approx((plain.value, plain.low, plain.high)), name


def test_a_precision_recall_area_has_no_weighted_interval():
    found = METRICS["aupr_out"]([0.0, 2.0, 1.0], [1.0, 3.0], weights=[1, 2, 1])
    assert 0 < found.value < 1
    assert math.isnan(found.low)


def test_one_row_that_has_all_the_weight_leaves_next_to_no_information():
    rng = np.random.default_rng(0)
    weights = [1e9, *[1.0] * 49]
    for name in RANKED:
        found = METRICS[name](rng.normal(size=50), rng.normal(1, 1, 50), weights=weights)
        assert math.isnan(found.low) or found.high - found.low > 0.5 or name == "fpr_at_95_id", name
    found = METRICS["accuracy"](rng.normal(size=(50, 3)), rng.integers(3, size=50), weights=weights)
    assert found.high - found.low > 0.5
    for name in ("nll", "brier"):
        found = METRICS[name](rng.normal(size=(50, 3)), rng.integers(3, size=50), weights=weights)
        assert math.isnan(found.low) or found.high - found.low > 0.5


def test_a_model_that_is_always_right_may_be_wrong_yet():
    found = METRICS["ece"](np.tile([9.0, 0.0], (3, 1)), [0, 0, 0])
    assert found.high > 0.3  # three right of three: an accuracy of .44 is possible
    assert math.isnan(METRICS["brier"](np.tile([9.0, 0.0], (3, 1)), [0, 0, 0]).low)
