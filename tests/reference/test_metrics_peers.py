"""Second opinions: metrics against scikit-learn, scipy, definitions written out, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as peer

from outfield.errors import OutfieldError, UserError
from outfield.metrics._intervals import mover, wilson
from outfield.metrics.accuracy import Accuracy
from outfield.metrics.aupr_in import AuprIn
from outfield.metrics.aupr_out import AuprOut
from outfield.metrics.aurc import Aurc
from outfield.metrics.auroc import Auroc
from outfield.metrics.auroc_correct_vs_incorrect import AurocCorrectVsIncorrect
from outfield.metrics.auroc_correct_vs_ood import AurocCorrectVsOod
from outfield.metrics.auroc_incorrect_vs_ood import AurocIncorrectVsOod
from outfield.metrics.autc import Autc
from outfield.metrics.balanced_accuracy import BalancedAccuracy
from outfield.metrics.base import (
    IdScores,
    Placements,
    Predictions,
    Ranking,
    check_identities,
    delong,
    delong_covariance,
    delong_difference,
)
from outfield.metrics.brier import Brier
from outfield.metrics.ece import Ece
from outfield.metrics.fpr_at_95_id import FprAt95Id
from outfield.metrics.fpr_at_95_ood import FprAt95Ood
from outfield.metrics.nll import Nll

tied = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30)
anything = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)
scores = tied | anything
quick = settings(deadline=None, max_examples=60)


def stacked(known, unknown):
    return np.r_[np.zeros(len(known)), np.ones(len(unknown))], np.r_[known, unknown]


@quick
@given(scores, scores)
def test_auroc_is_the_share_of_pairs_in_order(known, unknown):
    pairs = np.subtract.outer(unknown, known)
    assert Auroc()(known, unknown).value == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)), abs=1e-12)
    assert Auroc()(known, unknown).value == pytest.approx(peer.roc_auc_score(*stacked(known, unknown)), abs=1e-12)
    mann_whitney = stats.mannwhitneyu(unknown, known).statistic / len(known) / len(unknown)
    assert Auroc()(known, unknown).value == pytest.approx(mann_whitney, abs=1e-12)


@quick
@given(scores, scores)
def test_counts_are_those_of_every_pair(known, unknown):
    ranking = IdScores(known).against(unknown)
    first, second = ranking.id.values, ranking.ood
    assert ranking.id_below.tolist() == [np.sum(first < x) for x in second]
    assert ranking.id_at_most.tolist() == [np.sum(first <= x) for x in second]
    assert ranking.ood_above.tolist() == [np.sum(second > x) for x in first]
    assert ranking.ood_at_least.tolist() == [np.sum(second >= x) for x in first]


@quick
@given(scores, scores)
def test_aupr_steps_are_average_precision_and_trapezoids_the_peers_area(known, unknown):
    labels, values = stacked(known, unknown)
    for metric, truth, sign in ((AuprOut, labels, 1), (AuprIn, 1 - labels, -1)):
        assert metric()(known, unknown).value == pytest.approx(peer.average_precision_score(truth, sign * values))
        precision, recall, _ = peer.precision_recall_curve(truth, sign * values)
        area = peer.auc(recall, precision)
        assert metric(interpolation="trapezoid")(known, unknown).value == pytest.approx(area)


@quick
@given(scores, scores)
def test_both_fpr_conventions_are_read_off_the_roc_curve(known, unknown):
    labels, values = stacked(known, unknown)
    fpr, tpr, _ = peer.roc_curve(labels, values, drop_intermediate=False)
    assert FprAt95Ood()(known, unknown).value == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-12)])
    fpr, tpr, _ = peer.roc_curve(1 - labels, -values, drop_intermediate=False)
    assert FprAt95Id()(known, unknown).value == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-12)])


@quick
@given(scores, scores)
def test_autc_is_the_area_under_both_error_curves(known, unknown):
    _, values = stacked(known, unknown)
    if np.ptp(values) < 1e-9:
        return
    first, second = ((np.array(part) - values.min()) / np.ptp(values) for part in (known, unknown))
    steps = np.unique(np.r_[0.0, first, second, 1.0])
    middles, widths = (steps[1:] + steps[:-1]) / 2, np.diff(steps)
    fpr, fnr = (first[:, None] > middles).mean(0), (second[:, None] <= middles).mean(0)
    assert Autc()(known, unknown).value == pytest.approx((fpr + fnr) @ widths / 2, abs=1e-9)


def test_autc_of_equal_and_of_huge_scores():
    assert Autc()([2.0, 2.0], [2.0]).value == 0.5
    assert Autc()([-1.5e308], [1.5e308]).value == 0.0


@quick
@given(scores.filter(lambda x: len(x) > 1), scores.filter(lambda x: len(x) > 1))
def test_delong_is_the_variance_of_the_placements(known, unknown):
    above = np.array([[(y > x) + 0.5 * (y == x) for y in unknown] for x in known])
    by_hand = above.mean(1).var(ddof=1) / len(known) + above.mean(0).var(ddof=1) / len(unknown)
    assert delong(IdScores(known).against(unknown)) == pytest.approx(by_hand, abs=1e-12)
    placed = Placements.of(known, unknown)
    np.testing.assert_allclose(placed.id, above.mean(1), atol=1e-12)
    np.testing.assert_allclose(placed.ood, above.mean(0), atol=1e-12)
    assert delong_covariance(placed, placed) == pytest.approx(by_hand, abs=1e-12)


def test_paired_delong_agrees_with_the_bootstrap():
    rng = np.random.default_rng(1)
    shared = np.r_[rng.normal(size=300), rng.normal(1, 1, 200)]
    a, b = shared + rng.normal(0, 0.5, 500), shared + rng.normal(0, 1.0, 500)
    first, second = (Placements.of(x[:300], x[300:]) for x in (a, b))
    draws = []
    for _ in range(1500):
        i, j = rng.integers(300, size=300), 300 + rng.integers(200, size=200)
        draws.append([IdScores(x[i]).against(x[j]).auroc for x in (a, b)])
    np.testing.assert_allclose(delong_covariance(first, second), np.cov(np.transpose(draws))[0, 1], rtol=0.15)
    difference = delong_difference(first, second)
    assert difference.value == pytest.approx(first.auroc - second.auroc)
    spread = np.std(np.subtract(*np.transpose(draws)))
    assert (difference.high - difference.low) / 2 / 1.96 == pytest.approx(spread, rel=0.1)


def test_two_ood_sets_share_the_id_sample():
    rng = np.random.default_rng(2)
    aurocs, shared = [], []
    for _ in range(400):
        known, sets = rng.normal(size=150), rng.normal(1, 1, (2, 150))
        placed = [Placements.of(known, ood) for ood in sets]
        aurocs.append([one.auroc for one in placed])
        shared.append(delong_covariance(*placed, shared="id"))
    observed = np.cov(np.transpose(aurocs))
    assert observed[0, 1] == pytest.approx(np.mean(shared), rel=0.25)
    assert observed[0, 1] / observed[0, 0] == pytest.approx(0.5, abs=0.12)


def test_covariance_of_other_samples_is_refused():
    with pytest.raises(UserError, match="same samples"):
        delong_covariance(Placements.of([1.0, 2.0], [1.0]), Placements.of([1.0], [1.0]))


@pytest.mark.parametrize(("n", "m", "apart"), [(100, 100, 1.0), (60, 300, 2.0)])
@pytest.mark.parametrize("metric", [Auroc(), FprAt95Id(), FprAt95Ood(), AuprIn(), AuprOut()])
def test_intervals_cover_the_truth(metric, n, m, apart):
    rng = np.random.default_rng(3)
    truth = metric(rng.normal(size=400_000), rng.normal(apart, 1, 400_000 * m // n)).value
    drawn = [metric(rng.normal(size=n), rng.normal(apart, 1, m)) for _ in range(300)]
    assert 0.91 <= np.mean([one.low <= truth <= one.high for one in drawn]) <= 1


def test_complete_separation_keeps_an_honest_interval():
    estimate = Auroc()(np.arange(50), np.arange(50, 70))
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(wilson(1.0, 20)[0])
    assert math.isnan(Auroc()([0.0], [1.0]).low)


def drawn_predictions(n=400, classes=6, seed=0, sharper=1.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits * sharper, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def test_predictions_against_scikit_learn():
    logits, labels = drawn_predictions()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    assert Accuracy()(logits, labels).value == peer.accuracy_score(labels, p.argmax(1))
    balanced = peer.balanced_accuracy_score(labels, p.argmax(1))
    assert BalancedAccuracy()(logits, labels).value == pytest.approx(balanced)
    assert Nll()(logits, labels).value == pytest.approx(peer.log_loss(labels, p, labels=range(6)))
    assert Brier()(logits, labels).value == pytest.approx(np.mean(np.sum((p - np.eye(6)[labels]) ** 2, axis=1)))


def test_ece_is_the_sum_over_its_bins():
    logits, labels = drawn_predictions(sharper=2)
    said = Predictions(logits, labels)
    by_hand = 0.0
    for low in np.arange(15) / 15:
        inside = (said.confidence > low) & (said.confidence <= low + 1 / 15)
        if inside.any():
            by_hand += inside.mean() * abs(said.correct[inside].mean() - said.confidence[inside].mean())
    assert Ece()(logits, labels).value == pytest.approx(by_hand)
    with pytest.raises(UserError, match="at least 1 bin"):
        Ece(bins=0)


@pytest.mark.parametrize("sharper", [1.0, 1.5, 3.0])
def test_intervals_of_predictions_cover_the_truth(sharper):
    metrics = (Accuracy(), BalancedAccuracy(), Ece(), Nll(), Brier(), _OfConfidence())
    truths = [metric(*drawn_predictions(200_000, sharper=sharper)).value for metric in metrics]
    hits = np.zeros(len(metrics))
    for seed in range(1, 201):
        logits, labels = drawn_predictions(400, seed=seed, sharper=sharper)
        for k, (metric, truth) in enumerate(zip(metrics, truths, strict=True)):
            estimate = metric(logits, labels)
            hits[k] += estimate.low <= truth <= estimate.high
    assert (hits / 200 >= 0.9).all(), hits


class _OfConfidence:
    def __call__(self, logits, labels):
        said = Predictions(logits, labels)
        return Aurc()(-said.confidence, said.correct)


def test_saturated_logits_lose_nothing():
    assert Nll()([[0.0, 2000.0]], [0]).value == 2000.0
    assert Brier()([[0.0, 2000.0]], [0]).value == 2.0


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_all_orders_of_ties(items):
    values, correct = np.transpose(items)
    rng = np.random.default_rng(0)
    risks = []
    for _ in range(300):
        order = np.lexsort((rng.random(len(values)), values))
        risks.append(np.mean(np.cumsum(1 - correct[order]) / np.arange(1, len(values) + 1)))
    assert Aurc()(values, correct).value == pytest.approx(np.mean(risks), abs=0.1)
    if len(set(values)) == len(values):
        assert Aurc()(values, correct).value == pytest.approx(risks[0])


def test_diagnostics_are_aurocs_of_the_parts():
    rng = np.random.default_rng(4)
    values, correct, ood = rng.normal(size=50), rng.random(50) < 0.6, rng.normal(1, 1, 40)
    right, wrong = values[correct], values[~correct]
    assert AurocCorrectVsIncorrect()(values, correct).value == Auroc()(right, wrong).value
    assert AurocCorrectVsOod()(values, correct, ood).value == Auroc()(right, ood).value
    assert AurocIncorrectVsOod()(values, correct, ood).value == Auroc()(wrong, ood).value


@quick
@given(tied, st.lists(st.tuples(st.integers(-4, 4), st.sampled_from("abc")), min_size=1), st.data())
def test_identities_hold_on_any_scores(known, ood, data):
    correct = data.draw(st.lists(st.booleans(), min_size=len(known), max_size=len(known)))
    check_identities(IdScores(known, correct), [float(score) for score, _ in ood], [part for _, part in ood])


def test_identities_notice_what_does_not_belong_together(monkeypatch):
    ranked = IdScores([0.0, 1.0, 2.0], [True, False, True])
    with pytest.raises(UserError, match="a part for each of 2"):
        check_identities(ranked, [0.5, 1.5], ["a"])
    ranked.__dict__["_right"] = IdScores([5.0, 6.0])
    with pytest.raises(OutfieldError, match="right and wrong"):
        check_identities(ranked, [0.5, 1.5])
    monkeypatch.setattr(Ranking, "auroc", property(lambda ranking: 0.9 / ranking.n_ood))
    with pytest.raises(OutfieldError, match="pooled from the parts"):
        check_identities(IdScores([0.0]), [0.5, 1.5], ["a", "b"])


def test_wilson_against_scipy_and_mover_of_one_source():
    expected = stats.binomtest(7, 20).proportion_ci(method="wilson")
    assert wilson(0.35, 20) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert mover(0.35, [(0.1, 0.2)]) == pytest.approx((0.25, 0.55))
