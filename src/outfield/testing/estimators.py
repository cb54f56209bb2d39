"""What every estimator of accuracy without labels keeps."""

from __future__ import annotations

import numpy as np

from outfield.estimators.base import Answered, Estimator
from outfield.testing._expect import all_of, comes_back_from_json, expect, is_found_by_its_name

CLASSES = 4


def check_estimator(estimator: Estimator) -> None:
    """The contract of an estimator, on answers whose accuracy is known.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.estimators.average_confidence import AverageConfidence
    >>> check_estimator(AverageConfidence())
    """
    all_of(CHECKS, estimator)


def _answers(seed: int, n: int, scale: float = 2.0) -> Answered:
    """Of an overconfident classifier: the true logits are a third of what it says; a second one differs by noise."""
    rng = np.random.default_rng(seed)
    true = scale * rng.normal(size=(n, CLASSES))
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    return Answered(3 * true, labels, 3 * (true + 0.7 * rng.normal(size=true.shape)))


def _unlabelled(some: Answered) -> Answered:
    return Answered(some.logits, second=some.second)


def is_a_plugin(estimator: Estimator) -> None:
    """It is found by its name, and comes back from JSON."""
    is_found_by_its_name("estimators", estimator)
    comes_back_from_json("estimators", estimator)
    expect(isinstance(estimator, Estimator), "an Estimator", type(estimator))


def is_near_the_truth_without_shift(estimator: Estimator) -> None:
    """On items like the labelled ones the estimate is their accuracy, to .06."""
    batch = _answers(1, 3000)
    found = estimator.accuracy(_answers(0, 3000), _unlabelled(batch))
    expect(abs(found - batch.correct.mean()) < 0.06, f"an estimate near {batch.correct.mean():.3f}", found)


def needs_no_labels_of_the_batch(estimator: Estimator) -> None:
    """Labels of the batch change nothing."""
    known, batch = _answers(0, 500), _answers(1, 300)
    found = estimator.accuracy(known, _unlabelled(batch))
    expect(found == estimator.accuracy(known, batch), "the same estimate with labels as without", found)


def has_an_interval_around_it(estimator: Estimator) -> None:
    """The interval holds the estimate, within [0, 1], and is the same for the same seed."""
    known, batch = _answers(0, 500), _unlabelled(_answers(1, 300))
    found, again = (estimator.estimate(known, batch, draws=12, seed=5) for _ in range(2))
    expect(0 <= found.low <= found.value <= found.high <= 1, "an interval within [0, 1] around the estimate", found)
    expect(found == again, "the same interval for the same seed", again)
    expect(found.n == len(batch), f"n = {len(batch)}", found.n)


def forgets_the_order_of_items(estimator: Estimator) -> None:
    """Items in another order give the same estimate, but for rounding."""
    known, batch = _answers(0, 500), _unlabelled(_answers(1, 300))
    turned = estimator.accuracy(known[np.arange(500)[::-1]], batch[np.arange(300)[::-1]])
    found = estimator.accuracy(known, batch)
    expect(abs(found - turned) < 1e-6, f"{found:.6f} in another order too", turned)


def falls_with_the_confidence_of_the_batch(estimator: Estimator) -> None:
    """A batch of which the model is less sure has a lower estimate."""
    known = _answers(0, 2000)
    sure, unsure = (estimator.accuracy(known, _unlabelled(_answers(1, 2000, scale))) for scale in (2.0, 0.8))
    expect(unsure < sure, f"an estimate below {sure:.3f} where the model is less sure", unsure)


CHECKS = (
    is_a_plugin,
    is_near_the_truth_without_shift,
    needs_no_labels_of_the_batch,
    has_an_interval_around_it,
    forgets_the_order_of_items,
    falls_with_the_confidence_of_the_batch,
)
