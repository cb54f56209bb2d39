"""Certified thresholds, ladders, batches and abstention: what they promise, over many calibrations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from outfield.errors import UserError
from outfield.guard.abstention import select
from outfield.guard.batches import verdict_of_batch
from outfield.guard.thresholds import by_class, certify, ladder, one_per_group, plan, smallest_n

Draw = Callable[[np.random.Generator, int], np.ndarray]

SCORES: dict[str, tuple[Draw, Callable[[float], float]]] = {
    "normal": (lambda rng, n: rng.normal(size=n), lambda t: float(stats.norm.sf(t))),
    "eleven values": (lambda rng, n: rng.integers(0, 11, n) / 10, lambda t: float((np.arange(11) / 10 > t).mean())),
    "constant": (lambda rng, n: np.full(n, 2.0), lambda t: float(t < 2.0)),
    "heavy tails": (lambda rng, n: rng.standard_cauchy(n), lambda t: float(stats.cauchy.sf(t))),
}


def broken(threshold: Callable[[np.ndarray], float], kind: str, n: int, alpha: float, times: int = 1000) -> float:
    """Share of calibrations whose false-alarm rate in the population is above alpha."""
    rng = np.random.default_rng(n)
    draw, rate = SCORES[kind]
    return float(np.mean([rate(threshold(draw(rng, n))) > alpha for _ in range(times)]))


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (1000, 0.01), (1000, 0.05), (5000, 0.01), (5000, 0.05)])
def test_certified_threshold_breaks_alpha_in_few_calibrations(kind: str, n: int, alpha: float) -> None:
    assert broken(lambda scores: certify(scores, alpha).value, kind, n, alpha, 400 if n > 1000 else 1000) <= 0.07


def test_a_quantile_breaks_alpha_in_half_of_them() -> None:
    assert broken(lambda scores: float(np.quantile(scores, 0.95)), "normal", 1000, 0.05) > 0.4
    assert broken(lambda scores: certify(scores, promise="average").value, "normal", 1000, 0.05) > 0.3


def test_average_promise_holds_on_average() -> None:
    rng = np.random.default_rng(0)
    rates = [stats.norm.sf(certify(rng.normal(size=200), promise="average").value) for _ in range(3000)]
    assert 0.046 < np.mean(rates) < 0.0505


@pytest.mark.parametrize(
    ("n", "alpha", "k"),
    [(200, 0.05, 4), (200, 0.1, 12), (1000, 0.01, 4), (1000, 0.05, 38), (1000, 0.1, 84), (5000, 0.01, 38),
     (5000, 0.05, 224), (5000, 0.1, 464), (50_000, 0.01, 463), (50_000, 0.05, 2419), (50_000, 0.1, 4889)],
)  # fmt: skip
def test_order_statistic_is_that_of_clopper_and_pearson(n: int, alpha: float, k: int) -> None:
    found = certify(np.arange(float(n)), alpha)
    assert found.k == k
    assert found.value == n - 1 - k
    exact = [stats.binomtest(at, n).proportion_ci(0.9, method="exact").high for at in (k, k + 1)]
    assert exact[0] <= alpha < exact[1]


def test_too_few_items_are_told_how_many_are_needed() -> None:
    with pytest.raises(UserError, match="at least 299 calibration items"):
        certify(np.arange(298.0), 0.01)
    assert certify(np.arange(299.0), 0.01).k == 0
    assert smallest_n(0.05, 0.05) == 59


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [1.0, np.inf], [[1.0]]])
def test_scores_that_promise_nothing_are_refused(scores: list[float]) -> None:
    with pytest.raises(UserError, match="calibration scores"):
        certify(scores)


@pytest.mark.parametrize("n", [1000, 5000])
def test_rungs_hold_all_at_once(n: int) -> None:
    rng = np.random.default_rng(n)
    found = [ladder(rng.normal(size=n)) for _ in range(400)]
    assert np.mean([(stats.norm.sf(one.values) > one.rates).any() for one in found]) <= 0.05


def test_ladder_counts_the_rungs_that_it_can_certify() -> None:
    with pytest.raises(UserError, match="Add ID items"):
        ladder(np.arange(10.0))
    for n in (60, 300, 1000, 10_000):
        found = ladder(np.random.default_rng(0).normal(size=n))
        assert n >= smallest_n(found.rates[0], found.delta / len(found.rates))
        assert (np.diff(found.values) <= 0).all()


def test_p_of_ties_and_missing_scores() -> None:
    rungs = ladder(np.repeat(np.arange(10.0), 100))
    assert rungs.p([9.0, 9.5, np.nan, np.inf, -np.inf])[[0, 1, 3, 4]].tolist() == [0.2, 0.005, 0.005, 1.0]
    assert np.isnan(rungs.p([np.nan])[0])


def test_batches_of_id_items_are_seldom_called_shifted_and_shares_are_lower_bounds() -> None:
    rng = np.random.default_rng(1)
    rungs = [ladder(rng.normal(size=5000)) for _ in range(20)]
    null = [verdict_of_batch(rng.normal(size=1000), rungs[i % 20]) for i in range(300)]
    assert np.mean([one.shifted for one in null]) <= 0.05
    mixed = [verdict_of_batch(np.r_[rng.normal(size=900), rng.normal(2, 1, 100)], rungs[i % 20]) for i in range(200)]
    assert np.mean([one.shifted for one in mixed]) >= 0.95
    assert max(one.ood_share for one in mixed) <= 0.1
    assert max(one.ood_share for one in null) == 0 or np.mean([one.ood_share > 0 for one in null]) <= 0.05


def test_batch_without_scores() -> None:
    rungs = ladder(np.arange(1000.0))
    with pytest.raises(UserError, match="all 2 are missing"):
        verdict_of_batch([np.nan, np.nan], rungs)
    assert verdict_of_batch([np.nan, 0.0], rungs).unscored == 1


def test_selective_error_is_kept_and_little_coverage_is_lost() -> None:
    rng = np.random.default_rng(2)
    grid = np.linspace(0, 1, 101)
    oracle = 0.6  # the error among u <= t is .075 (t - .2)^2 / t: .02 there
    found = []
    for _ in range(300):
        u = rng.uniform(size=5000)
        found.append(select(u, rng.uniform(size=5000) < np.maximum(0, u - 0.2) * 0.15, rate=0.02, thresholds=grid))
    assert np.mean([one.threshold > oracle for one in found]) <= 0.07
    assert np.mean([one.threshold for one in found]) >= 0.6 * oracle


def test_selection_that_certifies_nothing_says_what_is_missing() -> None:
    with pytest.raises(UserError, match="the surest 149 must be right"):
        select(np.arange(100.0), np.zeros(100, bool))
    with pytest.raises(UserError, match="error that can be certified"):
        select(np.arange(1000.0), np.ones(1000, bool))
    with pytest.raises(UserError, match="1 values that are not finite"):
        select([np.nan], [True])


def test_classes_that_are_too_small_take_the_pooled_threshold_by_name() -> None:
    rng = np.random.default_rng(3)
    scores = np.r_[rng.normal(size=2000), rng.normal(2, 1, 2000), rng.normal(size=30)]
    found, fallen = by_class(scores, ["cat"] * 2000 + ["dog"] * 2000 + ["eel"] * 30)
    assert fallen == ("eel",)
    assert found["eel"] == certify(scores)
    assert found["dog"].value > found["eel"].value > found["cat"].value
    with pytest.raises(UserError, match="2 for 3"):
        by_class([1.0, 2.0, 3.0], ["a", "b"])


def test_one_item_a_group_mends_repeated_items() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(1000), 5)

    def rate(kept: bool) -> float:
        scores = np.repeat(rng.normal(size=1000), 5)
        return float(stats.norm.sf(certify(scores[one_per_group(groups)] if kept else scores).value))

    assert np.mean([rate(False) > 0.05 for _ in range(400)]) > 0.15
    assert np.mean([rate(True) > 0.05 for _ in range(400)]) <= 0.07
    assert len(np.unique(groups[one_per_group(groups, seed=1)])) == 1000


def test_plan_says_what_items_buy() -> None:
    found = plan(5000, traffic=10_000, detected=0.5)
    assert found.alarms_a_day == pytest.approx(450, abs=1)
    assert found.visible_share == pytest.approx((0.05 - 225 / 5001) / (0.5 - 225 / 5001))
    assert plan(1000).audit < found.audit
    with pytest.raises(UserError, match="at least 59"):
        plan(58)
