"""Intervals that were too narrow: a value that shows each fault, worked out by hand or in the simplest simulation."""

import numpy as np
import polars as pl
import pytest
from scipy import stats as theory

from outfield import registry, stats
from outfield.errors import UserError
from outfield.reports.analysis import analyse
from outfield.reports.findings.checks import findings
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


def board(gone, values):
    """A long table of [models, sets, detectors] without the cells that are gone."""
    at = np.nonzero(~gone)
    columns = {key: np.char.add(key, i.astype(str)) for key, i in zip(("model", "ood", "detector"), at, strict=True)}
    return pl.DataFrame({**columns, "metric": "auroc", "value": values[at]})


def scattered(seed=0, shape=(24, 4, 5)):
    rng = np.random.default_rng(seed)
    values = 0.7 + 0.05 * rng.normal(size=(shape[0], 1, 1)) + 0.02 * np.arange(shape[2]) + 0.02 * rng.normal(size=shape)
    return values, rng.random(shape) < 0.02


def test_scattered_gaps_cost_no_model():
    values, gone = scattered()
    found = stats.panel(board(gone, values), ("ood", "detector"))
    assert gone.sum() > 5 and len(found.models) == 24 and not found.biased
    assert found.notes[0].startswith(f"Filled {gone.sum()} of 480 cells that are missing")
    assert stats.mean_ranks(found).n_units == 24
    whole = stats.panel(board(gone, values), ("ood", "detector"), fill=False)
    assert len(whole.models) < 24 and all(note.startswith("Left out") for note in whole.notes)


def test_the_cells_that_are_there_stay_and_an_additive_table_is_filled_exactly():
    values, gone = np.add.outer(np.arange(24.0), np.arange(6.0)) / 40, np.zeros((24, 6), dtype=bool)
    gone[3, 2] = gone[11, 5] = True
    found = stats.panel(board(gone[:, None], values[:, None]), ("ood", "detector"))
    order = [int(name.removeprefix("model")) for name in found.models]
    across = [int(name.removeprefix("detector")) for name in found.axes["detector"]]
    assert found.values[:, 0] == pytest.approx(values[order][:, across], abs=1e-6)


def test_filled_cells_vary_as_those_that_are_there():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(200, 1, 5)) + rng.normal(size=(200, 4, 1)) + 0.5 * rng.normal(size=(200, 4, 5))
    gone = rng.random(values.shape) < 0.1
    found = stats.panel(board(gone, values), ("ood", "detector"))
    filled = ~np.isin(found.values, values)
    assert len(found.models) > 150 and filled.sum() > 250
    assert found.values[filled].std() == pytest.approx(values.std(), rel=0.1)


@pytest.fixture(scope="module")
def truncated():
    values, _ = scattered(1)
    return board(values < np.quantile(values, 0.06), values)


@pytest.mark.parametrize("infer", [stats.mean_ranks, lambda found: stats.recommend(found, draws=1)])
def test_nothing_is_inferred_where_the_lowest_cells_are_missing(truncated, infer):
    found = stats.panel(truncated, ("ood", "detector"))
    assert "values are lower" in found.biased
    with pytest.raises(UserError, match="missing at random, but a .* misses more of them where its values are lower"):
        infer(found)


def test_a_detector_that_fails_anywhere_is_no_bias():
    values, gone = scattered(2)
    gone[:] = False
    gone[[2, 9, 17, 20], :, 0] = True
    assert values[:, :, 0].mean() < values.mean() - 0.03
    assert not stats.panel(board(gone, values), ("ood", "detector")).biased


def test_cells_that_are_missing_not_at_random_are_a_finding(truncated):
    known = pl.DataFrame(
        {"model": [f"model{i}" for i in range(24)], "metric": "accuracy", "value": np.linspace(0.5, 0.9, 24)}
    )
    rows = pl.concat([truncated, known], how="diagonal").with_columns(
        strategy=pl.col("model"), ood_category=pl.col("ood")
    )
    said = {one.code: one.sentence for one in findings(analyse(rows))}
    assert "OF035" in said and "values are lower" in said["OF035"]


def noisy(seed, items=50, rows=48):
    """Two measures that follow the true ID accuracy and nothing else."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.5, 0.8, rows)
    a, b = (true + 0.05 * rng.normal(size=rows) for _ in range(2))
    return stats.errors_in_variables(a, b, rng.binomial(items, true) / items, items=items)


def test_correlations_beyond_one_are_counted_with_the_right_reason():
    found = [noisy(i) for i in range(80)]
    odd = [each for each in found if not each.identifiable]
    assert len(odd) > 8 and np.mean([each.corrected.value > 0 for each in found]) == pytest.approx(0.5, abs=0.15)
    reasons = " ".join(each.notes[-1] for each in odd)
    assert "beyond" in reasons or "explains all of the variance" in reasons
    assert not any("as large as its variance" in each.notes[-1] for each in odd if each.reliability > 0)
    assert np.mean([each.corrected.low <= 0 <= each.corrected.high for each in found]) > 0.92


def test_a_trajectory_has_no_interval_of_the_corrected_correlation():
    rng = np.random.default_rng(0)
    right = rng.random((30, 100)) < np.linspace(0.4, 0.9, 30)[:, None]
    found = stats.errors_in_variables(*rng.normal(size=(2, 30)), right.mean(axis=1), correctness=right)
    assert found.level == "run" and np.isnan(found.corrected.low)


def test_an_interval_of_a_mean_rank_ends_at_the_first_and_the_last_rank() -> None:
    auroc = np.random.default_rng(0).uniform(0.5, 1, (2, 4, 26))
    found = stats.recommend(auroc)
    assert 1 <= found.held_out.low <= found.held_out.high <= 26
    for one in stats.mean_ranks(auroc[:, 0]).estimates:
        assert 1 <= one.low <= one.high <= 26
