"""Differences of two models agree with second opinions, and say when they cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as theory
from statsmodels.api import OLS

from outfield.errors import UserError
from outfield.stats import detectable, independent_difference, paired_difference, power
from outfield.stats.differences import UNPAIRED
from outfield.stats.intervals import wilson
from outfield.types import Estimate

DRAW = np.random.default_rng(0)


def test_mcnemar_is_exact_for_few_and_scipys_chi_squared_for_many() -> None:
    for gained, lost in ((3, 11), (40, 65), (12, 12)):
        first = np.repeat([0, 1, 1, 0], [gained, lost, 50, 50])
        second = np.repeat([1, 0, 1, 0], [gained, lost, 50, 50])
        found = paired_difference(first, second)
        assert (found.gained, found.lost) == (gained, lost)
        if gained + lost < 25:
            expected = theory.binomtest(gained, gained + lost).pvalue
        else:
            expected = theory.chi2.sf((gained - lost) ** 2 / (gained + lost), 1)
        assert found.p == pytest.approx(expected)
        assert found.estimate.value == pytest.approx((gained - lost) / len(first))


def test_scores_have_students_interval_of_their_differences() -> None:
    first, second = DRAW.normal(size=30), DRAW.normal(0.3, 1, 30)
    found, expected = paired_difference(first, second), theory.ttest_rel(second, first)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.gained is None


def test_clusters_of_one_size_agree_with_the_mean_of_each_cluster() -> None:
    groups = np.repeat(np.arange(12), 4)
    moved = DRAW.normal(size=12)[groups] + DRAW.normal(size=48)
    found, expected = (
        paired_difference(np.zeros(48), moved, groups),
        theory.ttest_1samp(moved.reshape(12, 4).mean(1), 0),
    )
    assert (found.p, found.n_units, found.estimate.n) == (pytest.approx(expected.pvalue), 12, 48)


def test_clusters_of_different_sizes_are_near_to_statsmodels() -> None:
    groups = np.repeat(np.arange(60), DRAW.integers(1, 9, 60))
    moved = DRAW.normal(size=60)[groups] + DRAW.normal(size=len(groups))
    other = OLS(moved, np.ones(len(moved))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert paired_difference(np.zeros(len(moved)), moved, groups).error == pytest.approx(other.bse[0], rel=0.05)


def test_few_clusters_have_no_interval_and_say_why() -> None:
    found = paired_difference(DRAW.normal(size=40), DRAW.normal(size=40), np.arange(40) % 4)
    assert np.isnan([found.estimate.low, found.p, found.error, found.detectable()]).all()
    assert "4 clusters are too few" in found.notes[0]


def test_nothing_that_differs_still_leaves_room_for_a_difference() -> None:
    right = np.ones(100)
    for clusters, units in ((None, 100), (np.arange(100) // 10, 10)):
        found = paired_difference(right, right, clusters)
        assert found.estimate.value == 0 and found.p == 1
        assert found.estimate.high == pytest.approx(1.96 * np.sqrt(2 / (units + 2)) / np.sqrt(units + 2), rel=1e-3)


def test_two_shares_have_newcombes_interval() -> None:
    """Newcombe 1998, table II: 56 of 70 less 48 of 80 has [.0524, .3339] by his method 10."""
    first, second = (Estimate(k / n, *wilson(k, n), n=n) for k, n in ((48, 80), (56, 70)))
    found = independent_difference(first, second)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert (found.method, found.estimate.n) == (UNPAIRED, 70)


@pytest.mark.parametrize(("low", "high", "told"), [(0.61, 0.79, False), (0.705, 0.79, True)])
def test_p_and_interval_of_two_estimates_agree(low: float, high: float, told: bool) -> None:
    found = independent_difference(Estimate(0.6, 0.55, 0.65), Estimate(0.7, low, high))
    assert (found.estimate.low > 0) == (found.p < 0.05)


def test_what_is_detectable_is_what_power_asks_for() -> None:
    """n items that power() asks for an effect make that effect detectable."""
    n = power("items", 0.05, base=0.8).needed
    assert detectable(np.sqrt(2 * 0.8 * 0.2 / n)) == pytest.approx(0.05, rel=1e-3)
    assert detectable(0.01, 5) > detectable(0.01, 50) > detectable(0.01) < detectable(0.01, comparisons=2)


@pytest.mark.parametrize(
    ("first", "second", "clusters", "said"),
    [
        ([1, 0], [1, 0, 1], None, "got 2 and 3"),
        ([1], [1], None, "at least two items"),
        ([1, np.nan], [1, 0], None, "missing or infinite"),
        ([1, 0], [1, 0], ["a"], "cluster for each of 2 items"),
        (["x", "y"], [1, 0], None, "Expected numbers as first"),
    ],
)
def test_what_cannot_be_paired_is_told(first: list, second: list, clusters: list | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        paired_difference(first, second, clusters)


def test_saturated_measures_are_no_right_or_wrong_items() -> None:
    same = paired_difference([1.0] * 12, [1.0] * 12, measures=True)
    assert (same.estimate.low, same.estimate.value, same.estimate.high, same.p) == (0, 0, 0, 1)
    one, two = [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]
    found = paired_difference(one, two, measures=True)
    assert found.p == pytest.approx(theory.ttest_rel(two, one).pvalue)
    assert paired_difference(one, two).estimate != found.estimate
