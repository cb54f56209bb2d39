"""Statistics of rows that are kin: against brute force, statsmodels and closed forms; and where they refuse."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as theory

from outfield.errors import UserError
from outfield.stats import (
    accuracy_on_the_line,
    between_within,
    correlation_by_cluster,
    correlations_by_cluster,
    independent_units,
    intraclass,
    line_by_cluster,
    pearson,
    slope_by_cluster,
)

SIZES = [1, 1, 2, 2, 3, 4, 5, 9, 14, 30]


def kin(seed: int = 0, sizes: list[int] | tuple[int, ...] = tuple(SIZES), columns: int = 3, digits: int = 1):
    """Measures that families share in part, rounded so that ranks tie."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(len(sizes)), sizes)
    values = rng.normal(size=(len(sizes), columns))[family] + rng.normal(size=(len(family), columns))
    values[:, 1:] += values[:, :1]
    return values.round(digits), family


def z_error(statistic, values, family):
    """The standard error of Fisher z by leaving out one cluster at a time, in a loop."""
    whole, names = np.arctanh(statistic(values)), np.unique(family)
    left = np.array([np.arctanh(statistic(values[family != name])) for name in names])
    return np.sqrt((len(names) - 1) / len(names) * ((left - whole) ** 2).sum()), (len(names) - 1) * (
        left - whole
    ).mean()


def joined(whole, error, bias, half):
    """How the interval is made of them, given how many standard errors it takes."""
    z = np.arctanh(whole)
    return np.tanh([min(z, z - bias) - half * error, max(z, z - bias) + half * error])


BRUTE = {
    "pearson": lambda v: np.corrcoef(v[:, 0], v[:, 1])[0, 1],
    "spearman": lambda v: theory.spearmanr(v[:, 0], v[:, 1])[0],
    "kendall": lambda v: theory.kendalltau(v[:, 0], v[:, 1])[0],
}


@pytest.mark.parametrize("kind", BRUTE)
def test_the_interval_is_that_of_a_loop_over_clusters(kind):
    values, family = kin()
    found = correlation_by_cluster(values[:, 0], values[:, 1], family, kind=kind).estimate
    error, bias = z_error(BRUTE[kind], values, family)
    assert found.value == pytest.approx(BRUTE[kind](values))
    z = np.arctanh([found.low, found.high])
    half = (z[1] - z[0] - abs(bias)) / 2 / error
    assert theory.t.ppf(0.975, len(SIZES) - 1) <= half < theory.t.ppf(0.975, 2)
    assert [found.low, found.high] == pytest.approx(joined(found.value, error, bias, half))


def partial(values, kind):
    ranked = theory.rankdata(values, axis=0) if kind == "spearman" else values
    given = np.column_stack([np.ones(len(ranked)), ranked[:, 0]])
    left = ranked - given @ np.linalg.lstsq(given, ranked, rcond=None)[0]
    return np.corrcoef(left[:, 1], left[:, 2])[0, 1]


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_partial_correlation_is_that_of_residuals_in_a_loop(kind):
    values, family = kin(1)
    found = correlations_by_cluster(values, family, kind=kind, given=0)
    error, bias = z_error(lambda v: partial(v, kind), values, family)
    assert found.values[1, 2] == pytest.approx(partial(values, kind))
    z = np.arctanh([found.low[1, 2], found.high[1, 2]])
    half = (z[1] - z[0] - abs(bias)) / 2 / error
    assert [found.low[1, 2], found.high[1, 2]] == pytest.approx(joined(found.values[1, 2], error, bias, half))


def test_many_pairs_at_once_are_what_each_is_alone():
    values, family = kin(2)
    every = correlations_by_cluster(values, family, names=["a", "b", "c"])
    alone = correlation_by_cluster(values[:, 1], values[:, 2], family)
    assert every.of("b", "c").low == pytest.approx(alone.estimate.low)
    assert every.p_of("b", "c") == pytest.approx(alone.p)


def test_the_slope_agrees_with_statsmodels_cluster_robust_fit():
    values, family = kin(3, sizes=[6] * 80, digits=6)
    found = slope_by_cluster(values[:, 0], values[:, 1], family)
    fit = sm.OLS(values[:, 1], sm.add_constant(values[:, 0])).fit(cov_type="cluster", cov_kwds={"groups": family})
    assert found.value == pytest.approx(fit.params[1])
    assert (found.high - found.low) / 2 / 1.99 == pytest.approx(fit.bse[1], rel=0.06)


def test_clusters_of_one_row_give_nearly_the_interval_of_independent_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)
    ours, theirs = correlation_by_cluster(x, y, np.arange(400), kind="pearson").estimate, pearson(x, y).estimate
    assert ours.value == pytest.approx(theirs.value)
    assert ours.low == pytest.approx(theirs.low, abs=0.02) and ours.high == pytest.approx(theirs.high, abs=0.02)


def test_families_that_share_much_make_the_interval_several_times_wider():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(12), 20)
    x, y = (rng.normal(size=12)[family] + 0.1 * rng.normal(size=240) for _ in range(2))
    ours, naive = correlation_by_cluster(x, y, family, kind="pearson").estimate, pearson(x, y).estimate
    assert ours.high - ours.low > 3 * (naive.high - naive.low)
    assert ours.n == 12


def test_below_five_clusters_there_is_no_interval_and_the_reason():
    values, family = kin(sizes=[10, 10, 10, 10])
    found = correlation_by_cluster(values[:, 0], values[:, 1], family)
    assert np.isfinite(found.estimate.value) and np.isnan([found.estimate.low, found.estimate.high, found.p]).all()
    assert found.notes == (
        "No interval: 4 clusters are too few to tell how much clusters differ; at least 5 are needed.",
    )
    assert np.isnan(slope_by_cluster(values[:, 0], values[:, 1], family).low)
    assert np.isnan(correlations_by_cluster(values, family).low).all()


def test_a_perfect_rank_correlation_keeps_an_open_end():
    found = correlation_by_cluster(range(12), range(12), np.repeat(range(6), 2)).estimate
    assert found.value == pytest.approx(1) and 0 < found.low < 0.9 and found.high == 1


def test_between_and_within_tell_simpsons_paradox():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(8), 12)
    inside = rng.normal(size=96)
    x, y = 3 * family + inside, 3 * family - inside + 0.2 * rng.normal(size=96)
    found = between_within(x, y, family)
    assert found.reverses and found.between.low > 0.9 and found.within.high < -0.9
    assert found.rows.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    centred = [v - np.bincount(family, v)[family] / 12 for v in (x, y)]
    assert found.within.value == pytest.approx(np.corrcoef(*centred)[0, 1])


def test_the_intraclass_correlation_is_that_of_one_way_anova():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(30), 5)
    values = rng.normal(size=30)[family] + rng.normal(size=150)
    groups = [values[family == g] for g in range(30)]
    f = theory.f_oneway(*groups)[0]
    assert intraclass(values, family) == pytest.approx((f - 1) / (f + 4))


def test_independent_units_lie_between_clusters_and_rows():
    values, family = kin(4, sizes=[3] * 40)
    assert 40 < independent_units(values.T, family) < 120
    assert independent_units(family.astype(float), family) == pytest.approx(40)


def test_the_slope_of_a_line_is_on_the_probit_scale():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(8), 4)
    u = rng.normal(size=8)[family] / 2 + rng.normal(size=32) / 4
    line = accuracy_on_the_line(theory.norm.cdf(u), theory.norm.cdf(u - 0.3 + rng.normal(size=32) / 9))
    found = line_by_cluster(line, family, level="family")
    assert found.slope.value == pytest.approx(line.slope.value)
    assert found.level == "family" and found.n_units == 8 and found.slope.low < line.slope.value < found.slope.high


def test_a_label_too_few_is_told():
    with pytest.raises(UserError, match="Expected a cluster for each of 4 rows, but got 3"):
        correlation_by_cluster([1, 2, 3, 5], [1, 2, 4, 3], ["a", "b", "c"])


def test_rows_that_miss_a_value_lose_their_label_too():
    values, family = kin(5)
    gap = values.copy()
    gap[4, 0] = np.nan
    keep = np.arange(len(values)) != 4
    found = correlation_by_cluster(gap[:, 0], gap[:, 1], family)
    assert found.estimate.low == pytest.approx(
        correlation_by_cluster(values[keep, 0], values[keep, 1], family[keep]).estimate.low
    )
