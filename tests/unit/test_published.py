"""Published figures turned into others, against the statistics of the rows that they came from."""

import numpy as np
import pytest
from scipy import stats as theory

from outfield import stats
from outfield.errors import UserError
from outfield.tables import profile

RNG = np.random.default_rng(0)


def test_f_and_omega2_of_shares_are_those_of_the_rows():
    y = RNG.normal(size=(6, 4, 5)) + np.arange(6)[:, None, None]
    rows = stats.anova(y, ("model", "detector"), interval="none")
    shares = {row["term"]: row["eta2"] for row in rows.frame().to_dicts() if row["term"] != "total"}
    found = stats.published_shares(shares, {"model": 6, "detector": 4}, 120).frame()
    columns = ["df", "f", "p", "omega2", "partial_eta2"]
    expected = rows.frame().head(3).select(columns)
    assert found.select(columns).to_numpy() == pytest.approx(expected.to_numpy())


def test_the_three_way_share_of_study_1_is_mostly_noise():
    levels = {"model": 56, "method": 21, "OOD category": 4}
    found = stats.published_shares(profile.load("krumpl2026").paper.shares, levels, 9408)
    row = found.frame().filter(found.frame()["term"] == "model x method x OOD category").row(0, named=True)
    assert (row["df"], found.level) == (3300, "pooled")
    assert row["f"] == pytest.approx((0.0866 / 3300) / (0.1062 / 4704))
    assert row["omega2"] == pytest.approx(0.0121, abs=1e-4)


def test_w_of_a_chi_squared_is_friedmans():
    found = stats.friedman(RNG.normal(size=(12, 5)))
    assert stats.kendalls_w(found.chi2, 12, 5) == pytest.approx(found.w)


@pytest.mark.parametrize("kind", ["spearman", "pearson"])
def test_p_and_interval_of_a_correlation_are_those_of_the_rows(kind):
    x, y = RNG.normal(size=(2, 25))
    rows = getattr(stats, kind)(x, y)
    found = stats.published_correlation(rows.estimate.value, 25, kind=kind)
    assert [found.p, found.estimate.low, found.estimate.high] == pytest.approx(
        [rows.p, rows.estimate.low, rows.estimate.high]
    )


def test_a_perfect_correlation_has_p_0():
    assert stats.published_correlation(-1.0, 10).p == 0


def test_interval_of_a_mean_is_students():
    x = RNG.normal(size=5)
    found = stats.published_mean(x.mean(), x.std(ddof=1), 5)
    assert (found.low, found.high) == pytest.approx(theory.t.interval(0.95, 4, x.mean(), theory.sem(x)))


@pytest.mark.parametrize(("sd", "n"), [(0.0, 3), (0.2, 1)])
def test_a_sd_of_0_or_one_run_is_no_error_of_0(sd, n):
    found = stats.published_mean(88.3, sd, n)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: stats.published_shares({"a": 0.5}, {"a": 3}, 30), "residual"),
        (lambda: stats.published_shares({"a": 50.0, "residual": 50.0}, {"a": 3}, 30), "add up to 1"),
        (lambda: stats.published_shares({"a": 0.5, "residual": 0.5}, {}, 30), "levels of a"),
        (lambda: stats.published_shares({"a": 0.5, "residual": 0.5}, {"a": 30}, 30), "more rows"),
        (lambda: stats.kendalls_w(500, 10, 5), "chi squared between 0 and"),
        (lambda: stats.published_correlation(1.2, 20), "in \\[-1, 1\\]"),
        (lambda: stats.published_correlation(0.5, 3), "four units"),
        (lambda: stats.published_mean(1, -0.1, 3), "0 or more"),
    ],
)
def test_figures_that_cannot_be_are_told(call, said):
    with pytest.raises(UserError, match=said):
        call()
