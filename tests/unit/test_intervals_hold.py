"""Intervals that were too narrow: a value that shows each fault, worked out by hand or in the simplest simulation."""

import numpy as np
import pytest
from scipy import stats as theory

from outfield import registry, stats
from outfield.stats.intervals import wilson

AURC = registry.create("metrics", "aurc")


def width(estimate):
    return estimate.high - estimate.low


@pytest.mark.parametrize("errors", [12, 40, 88])
def test_the_aurc_of_one_tie_is_an_error_rate_and_as_uncertain(errors):
    right = np.arange(100) >= errors
    found = AURC(np.zeros(100), right)
    low, high = wilson(errors, 100)
    assert found.value == pytest.approx(errors / 100)
    assert 0.85 < width(found) / (high - low) < 1.4
    assert found.low < found.value < found.high


def test_the_aurc_of_ties_varies_as_much_as_fresh_samples_of_it():
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(200):
        score = rng.integers(0, 3, 300).astype(float)
        drawn.append(AURC(score, rng.random(300) > 0.1 + 0.1 * score))
    spread = np.std([each.value for each in drawn])
    assert np.mean([width(each) for each in drawn]) / 3.92 == pytest.approx(spread, rel=0.2)


def test_the_aurc_of_few_errors_has_no_interval_and_that_of_ten_is_lopsided():
    score = np.linspace(0, 1, 1000)
    for errors in (3, 9):
        assert np.isnan(AURC(score, np.arange(1000) < 1000 - errors).low)
    found = AURC(score, np.arange(1000) % 100 != 50)
    assert found.high - found.value > 1.3 * (found.value - found.low) > 0


def test_rare_right_answers_mirror_rare_errors():
    rng = np.random.default_rng(1)
    score, right = rng.normal(size=400), rng.random(400) < 0.05
    few, many = AURC(score, right), AURC(score, ~right)
    assert (1 - few.value, 1 - few.high, 1 - few.low) == pytest.approx((many.value, many.low, many.high))


def test_i2_is_the_place_of_the_generalised_q():
    y, error = [0.1, 0.9, -0.6, 0.4], 0.2
    found = stats.heterogeneity(y, np.full(4, error))
    between = np.var(y, ddof=1) * 3 / theory.chi2.ppf([0.975, 0.025], 3) - error**2
    assert [found.i2.low, found.i2.high] == pytest.approx(between / (between + error**2))


def test_two_estimates_have_an_interval_of_i2_too():
    found = stats.heterogeneity([0.1, 0.9], [0.2, 0.2])
    assert 0 < found.i2.low < found.i2.value < found.i2.high < 1


def test_a_mean_of_four_that_differ_has_students_interval():
    y = [0.1, 0.9, -0.6, 0.4]
    found = stats.heterogeneity(y, np.full(4, 0.2)).mean
    assert width(found) == pytest.approx(2 * theory.t.ppf(0.975, 3) * np.std(y, ddof=1) / 2)


def test_four_models_that_all_agree_in_sign_do_not_prove_it():
    alike = np.array([[1.0, 0.6], [0.6, 1.0]])
    found = stats.agreement([alike] * 4, 40).positive
    assert found.value == found.high == 1 and found.low == pytest.approx(wilson(4, 4)[0])


def race(seed, n, gap=0.0):
    return np.random.default_rng(seed).normal(size=(n, 4, 5)) + gap * np.arange(5)[::-1]


def test_the_stated_stability_of_a_close_race_is_that_of_fresh_halves():
    stated = np.mean([stats.recommend(race(i, 12), draws=50).stability for i in range(60)])
    picks = [stats.recommend(race(1000 + i, 6), draws=1).best for i in range(200)]
    true = np.sum((np.unique(picks, return_counts=True)[1] / 200) ** 2)
    assert stated == pytest.approx(true, abs=0.05)


def test_three_units_cannot_tell_stability():
    found = stats.recommend(race(0, 3))
    assert np.isnan(found.stability) and found.stability_sentence.startswith("Too few units (3)")


def test_the_worst_rank_of_the_best_of_a_close_race_reaches_the_mean_rank_of_all():
    held = [stats.recommend(race(i, 12), draws=1) for i in range(60)]
    assert np.mean([each.worst_rank[each.best].low <= 3 <= each.worst_rank[each.best].high for each in held]) > 0.9


def test_units_that_all_rank_a_detector_first_leave_room_for_one_that_does_not():
    found = stats.recommend(race(0, 6, gap=50), detectors=list("abcde"))
    assert found.worst_rank["a"].value == found.worst_rank["a"].low == 1 < found.worst_rank["a"].high
    assert found.held_out.value == 1 < found.held_out.high


def test_a_mean_value_has_students_interval_over_units():
    values = race(3, 6)
    found = stats.recommend(values, detectors=list("abcde")).mean_value["b"]
    per_unit = values[:, :, 1].mean(axis=1)
    assert width(found) == pytest.approx(2 * theory.t.ppf(0.975, 5) * per_unit.std(ddof=1) / np.sqrt(6))
