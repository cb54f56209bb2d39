"""Accuracy without labels: estimates near the truth where their assumption holds, intervals that hold the error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from outfield import registry
from outfield.errors import UserError
from outfield.estimators.average_thresholded_confidence import AverageThresholdedConfidence
from outfield.estimators.base import Answered
from outfield.estimators.confidence_transport import _potentials
from outfield.guard.accuracy import estimate_accuracy
from outfield.guard.batches import verdict_of_batch
from outfield.guard.thresholds import ladder

NAMES = registry.own("estimators")


def answers(rng: np.random.Generator, n: int, scale: float, shift: float = 0.0) -> Answered:
    """Overconfident logits of four classes; the labels follow the true ones at any scale: the shift keeps p(y | x)."""
    true = scale * rng.normal(size=(n, 4))
    true[:, 0] += shift
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    return Answered(3 * true, labels, 3 * (true + 0.7 * rng.normal(size=true.shape)))


def truth(scale: float, shift: float = 0.0) -> float:
    return float(answers(np.random.default_rng(99), 200_000, scale, shift).correct.mean())


def without_labels(some: Answered) -> Answered:
    return Answered(some.logits, second=some.second)


@pytest.mark.parametrize("name", NAMES)
def test_estimates_are_right_without_shift(name: str) -> None:
    rng = np.random.default_rng(0)
    found = registry.create("estimators", name).estimate(
        answers(rng, 4000, 2.0), without_labels(answers(rng, 4000, 2.0)), draws=30
    )
    assert found.value == pytest.approx(truth(2.0), abs=0.06 if name == "nuclear_norm" else 0.03)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("name", "scale", "shift", "least"),
    [("average_confidence", 1.2, 0.0, 0.9), ("average_confidence", 2.0, 1.5, 0.9),
     ("difference_of_confidences", 2.0, 0.0, 0.9), ("average_thresholded_confidence", 2.0, 0.0, 0.85),
     ("agreement", 2.0, 1.5, 0.85), ("confidence_transport", 1.2, 0.0, 0.85)],
)  # fmt: skip
def test_intervals_cover_under_shifts_that_keep_the_labels(name: str, scale: float, shift: float, least: float) -> None:
    rng, right = np.random.default_rng(1), truth(scale, shift)
    made = registry.create("estimators", name)
    times = 25 if name == "confidence_transport" else 50
    found = [
        made.estimate(answers(rng, 1500, 2.0), without_labels(answers(rng, 800, scale, shift)), draws=80, seed=i)
        for i in range(times)
    ]
    assert np.mean([one.low <= right <= one.high for one in found]) >= least - 0.08


@pytest.mark.parametrize(("classes", "n", "known"), [(2, 40, 7), (6, 120, 90), (10, 60, 1777)])
def test_transport_costs_what_a_linear_program_finds(classes: int, n: int, known: int) -> None:
    rng = np.random.default_rng(classes)
    cost = 1 - special.softmax(4 * rng.normal(size=(n, classes)) + np.eye(classes)[0], axis=1)
    shares = np.bincount(rng.integers(classes, size=known), minlength=classes) / known
    onto = [np.kron(np.eye(n), np.ones(classes)), np.kron(np.ones(n), np.eye(classes))]
    least = optimize.linprog(cost.ravel() / n, A_eq=np.vstack(onto), b_eq=np.r_[np.ones(n), n * shares]).fun
    potentials = _potentials(cost, shares)
    assert (cost - potentials).min(axis=1).mean() + potentials @ shares == pytest.approx(least, abs=1e-10)


def test_transport_of_many_classes_is_an_assignment_where_shares_are_whole() -> None:
    """A hundred classes, 1,000 items, ties and classes of no item among them."""
    rng = np.random.default_rng(0)
    cost = 1 - special.softmax(np.round(3 * rng.normal(size=(1000, 100)) + 2 * np.eye(100)[0], 1), axis=1)
    counts = rng.multinomial(1000, rng.dirichlet(np.full(100, 0.3)))
    rows, columns = optimize.linear_sum_assignment(cost[:, np.repeat(np.arange(100), counts)])
    least = cost[rows, np.repeat(np.arange(100), counts)[columns]].mean()
    potentials = _potentials(cost, counts / 1000)
    assert (cost - potentials).min(axis=1).mean() + potentials @ counts / 1000 == pytest.approx(least, abs=1e-9)


def test_a_threshold_misses_what_a_fall_of_confidence_means() -> None:
    """None is right under every shift: here the mean scaled confidence is, and the threshold is far off."""
    rng = np.random.default_rng(2)
    known, batch = answers(rng, 4000, 2.0), answers(rng, 4000, 1.2)
    off = {name: registry.create("estimators", name).accuracy(known, batch) - batch.correct.mean() for name in NAMES}
    assert abs(off["average_confidence"]) < 0.02
    assert off["average_thresholded_confidence"] < -0.08


def test_thresholds_of_entropy_and_of_perfect_models() -> None:
    rng = np.random.default_rng(3)
    known = answers(rng, 3000, 2.0)
    found = AverageThresholdedConfidence("entropy").accuracy(known, without_labels(known))
    assert found == pytest.approx(known.correct.mean(), abs=0.01)
    right = Answered(known.logits, known.predicted)
    assert AverageThresholdedConfidence().accuracy(right, without_labels(known)) == 1.0
    with pytest.raises(UserError, match="confidence or entropy"):
        AverageThresholdedConfidence("margin")  # type: ignore[arg-type]  # what a user may write


@pytest.mark.parametrize("name", NAMES)
def test_ties_and_a_single_predicted_class_give_shares(name: str) -> None:
    logits = np.zeros((60, 3))
    known = Answered(logits, np.arange(60) % 3, logits)
    found = registry.create("estimators", name).estimate(known, Answered(logits, second=logits), draws=10)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_batch_that_is_certainly_not_like_the_calibration_data_is_refused() -> None:
    rng = np.random.default_rng(4)
    known, batch = answers(rng, 2000, 2.0), answers(rng, 500, 2.0)
    rungs = ladder(rng.normal(size=5000))
    far = verdict_of_batch(rng.normal(3, 1, 500), rungs)
    near = verdict_of_batch(rng.normal(size=500), rungs)
    given = {"known_logits": known.logits, "known_labels": known.labels, "draws": 5}
    refused = estimate_accuracy(batch.logits, verdict=far, **given)
    assert refused.refused and "No accuracy is estimated" in refused.trust
    told = estimate_accuracy(batch.logits, verdict=near, **given)
    assert set(told.estimates) == set(NAMES) - {"agreement"}
    assert "At least 0.0% of the batch" in told.trust
    both = estimate_accuracy(batch.logits, second=batch.second, known_second=known.second, **given)
    assert set(both.estimates) == set(NAMES)
    assert both.known.n == 2000


def test_bad_values_are_told() -> None:
    good = np.zeros((40, 3))
    for logits, labels, second, said in (
        (np.zeros(40), None, None, "logits \\[n, classes\\]"),
        (np.full((40, 3), np.nan), None, None, "120 values"),
        (good[:10], None, None, "at least 30 items"),
        (good, np.full(40, 3), None, "label from 0 to 2"),
        (good, np.zeros(39), None, "label from 0 to 2"),
        (good, None, np.zeros((40, 2)), "both models"),
    ):
        with pytest.raises(UserError, match=said):
            Answered(logits, labels, second)
    with pytest.raises(UserError, match="one model"):
        estimate_accuracy(np.zeros((40, 2)), known_logits=good, known_labels=np.arange(40) % 3)
    with pytest.raises(UserError, match="second model"):
        estimate_accuracy(good, known_logits=good, known_labels=np.arange(40) % 3, estimators=["agreement"])
