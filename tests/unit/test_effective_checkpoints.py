"""How many independent checkpoints a correlation within a run is worth."""

import numpy as np
import pytest
from statsmodels.tsa.stattools import acf

from outfield import stats
from outfield.errors import UserError


def ar(seed: int, n: int, phi: float) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=(2, n))
    for t in range(1, n):
        steps[:, t] += phi * steps[:, t - 1]
    return steps


def test_the_sum_over_lags_is_bartletts_with_statsmodels_autocorrelations():
    a, b = ar(0, 80, 0.7)
    lags = np.arange(1, 17)
    scale = 80 / (80 - lags)
    r = [acf(series, nlags=16, fft=False)[1:] * scale for series in (a, b)]
    inverse = 1 / 80 + 2 / 80 * ((1 - lags / 80) * r[0] * r[1]).sum()
    assert stats.effective_checkpoints(a, b).effective == pytest.approx(1 / inverse)


def test_independent_checkpoints_count_in_full_and_a_smooth_run_for_few():
    independent = [stats.effective_checkpoints(*ar(seed, 100, 0.0)).effective for seed in range(20)]
    smooth = [stats.effective_checkpoints(*ar(seed, 100, 0.95)).effective for seed in range(20)]
    assert np.median(independent) > 90 and np.median(smooth) < 25


def test_the_interval_is_that_of_the_effective_number():
    found = stats.effective_checkpoints(*ar(1, 60, 0.6))
    half = 1.959964 / np.sqrt(found.effective - 3)
    assert np.arctanh([found.estimate.low, found.estimate.high]) == pytest.approx(
        np.arctanh(found.estimate.value) + np.array([-half, half]), abs=1e-5
    )
    assert (found.level, found.n_units, found.checkpoints) == ("run", 1, 60)


def test_two_trends_are_worth_too_few_for_an_interval_or_next_to_none():
    line = np.arange(40.0)
    found = stats.effective_checkpoints(line, line + np.sin(line))
    assert found.effective < 6


def test_given_a_measure_what_it_leaves_over_is_correlated():
    a, b = ar(2, 50, 0.5)
    given = np.linspace(0, 1, 50)
    left = [y - np.polyval(np.polyfit(given, y, 1), given) for y in (a, b)]
    found = stats.effective_checkpoints(a + 9 * given, b, given)
    assert found.effective == pytest.approx(stats.effective_checkpoints(*left).effective)


@pytest.mark.parametrize(("a", "said"), [(np.arange(9.0), "10 complete"), (np.r_[np.nan, np.arange(20.0)], "gaps")])
def test_too_few_or_missing_checkpoints_are_told(a, said):
    with pytest.raises(UserError, match=said):
        stats.effective_checkpoints(a, np.cos(np.arange(len(a))))
