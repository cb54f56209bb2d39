"""MAPIE, which others wrote, beside thresholds, abstention and the monitor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from outfield.guard.abstention import select
from outfield.guard.monitor import Monitor
from outfield.guard.thresholds import certify, ladder

pytest.importorskip("mapie")
from mapie.exchangeability_testing import OnlineMartingaleTest, RiskMonitoring
from mapie.risk_control.fwer_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value


def p_values(errors: np.ndarray, answered: np.ndarray, rate: float) -> np.ndarray:
    """MAPIE's, of whole numbers of errors that division and multiplication must not lift to the next."""
    risk = np.maximum(errors - 1e-6, 0) / answered
    found = compute_hoeffding_bentkus_p_value(risk, answered.astype(float), rate, binary=True)
    return np.asarray(found)[:, 0]


@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (1000, 0.01), (1000, 0.05), (5000, 0.01), (5000, 0.1)])
def test_a_certified_threshold_is_the_last_that_learn_then_test_lets_pass(n: int, alpha: float) -> None:
    ks = np.arange(n // 4)
    valid = control_fwer(p_values(ks, np.full(len(ks), n), alpha), 0.05, "fixed_sequence")
    assert certify(np.random.default_rng(0).normal(size=n), alpha, 0.05).k == max(valid)


@pytest.mark.parametrize("seed", range(5))
def test_abstention_stops_where_learn_then_test_stops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    u = rng.uniform(size=3000)
    wrong = rng.uniform(size=3000) < np.maximum(0, u - 0.2) * 0.2
    grid = np.linspace(0, 1, 101)
    answered = np.array([(u <= one).sum() for one in grid])
    errors = np.array([wrong[u <= one].sum() for one in grid])
    begun = answered >= np.ceil(np.log(0.05) / np.log1p(-0.02))
    valid = control_fwer(p_values(errors[begun], answered[begun], 0.02), 0.05, "fixed_sequence")
    assert select(u, wrong, rate=0.02, thresholds=grid).threshold == grid[begun][max(valid)]


def stream(seed: int, share: float, n: int = 3000) -> np.ndarray:
    """Scores of N(0, 1), in the second half with a share of N(2, 1)."""
    rng = np.random.default_rng(seed)
    foreign = (rng.uniform(size=n) < share) & (np.arange(n) >= n // 2)
    return np.where(foreign, rng.normal(2, 1, n), rng.normal(size=n))


@pytest.mark.parametrize("seed", range(3))
def test_the_monitor_alarms_where_the_risk_monitor_does_and_their_bounds_hold(seed: int) -> None:
    """The flag rate as a risk: flags are errors of a classifier that should never flag."""
    calibration = np.random.default_rng(100 + seed).normal(size=5000)
    rungs = ladder(calibration)
    place = int(np.flatnonzero(rungs.rates == 0.1)[0])
    for share, alarms in ((0.0, False), (0.5, True)):
        scores = stream(seed, share)
        flags = (scores > rungs.values[place]).astype(int)
        theirs = RiskMonitoring(risk="accuracy", threshold=0.1, test_level=0.05, warn=False)
        theirs.update(np.zeros(len(flags), int), flags)
        ours = Monitor(rungs, run_length=100_000).update(scores)
        assert (ours.alarm, bool(theirs.harmful_shift_detected)) == (alarms, alarms)
        truth = stats.norm.sf(rungs.values[place])
        truth += share / 2 * (stats.norm.sf(rungs.values[place] - 2) - truth)
        low, high = ours.flag_rate(place)
        assert float(theirs.online_risk_lower_bound_latest or 0) <= truth + 0.01
        assert low <= truth <= high


@pytest.mark.parametrize("seed", range(2))
def test_the_monitor_alarms_where_the_online_martingale_does(seed: int) -> None:
    """MAPIE's jumper bets on conformal p-values of the stream's own past; ours on certified rungs."""
    rungs = ladder(np.random.default_rng(200 + seed).normal(size=5000))
    for share, alarms in ((0.0, False), (0.6, True)):
        scores, history, found = stream(seed, share, 1200), [], []
        theirs = OnlineMartingaleTest(task="regression", test_level=0.01, warn=False, random_state=0)
        for score in scores.tolist():
            p = theirs.compute_p_value(score, np.array(history)) if history else 0.5
            history.append(score)
            found.append(theirs.update_simple_jumper_martingale(float(p)))
        assert Monitor(rungs, run_length=100_000).update(scores).alarm == alarms
        assert (max(found) > 100) == alarms
