"""The monitor: false alarms, delays, workers, groups, restarts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from outfield.errors import UserError
from outfield.guard.monitor import BLOCK, Evidence, Monitor, always_valid_interval, evidence, shiryaev_roberts
from outfield.guard.thresholds import Ladder, ladder

RUN_LENGTH = 100_000


@cache
def ladders(count: int) -> tuple[Ladder, ...]:
    rng = np.random.default_rng(0)
    return tuple(ladder(rng.normal(size=5000)) for _ in range(count))


def alarms(count: int, share: float, before: int, blocks: int, seed: int = 0) -> np.ndarray:
    """When each of many streams alarms, in items: N(0, 1), and a share of N(2, 1) after ``before`` blocks."""
    rng, rungs = np.random.default_rng(seed), ladders(count)
    rates, values = rungs[0].rates, np.stack([one.values for one in rungs])
    null = stats.norm.sf(values)
    mixed = (1 - share) * null + share * stats.norm.sf(values, 2)
    won, lost = (_sum_of(rungs[0], flagged) for flagged in (True, False))
    log_m = np.full((count, *won.shape), -np.inf)
    at = np.full(count, np.inf)
    for block in range(blocks):
        above = (rng.random((count, BLOCK))[:, :, None] < (null if block < before else mixed)[:, None]).sum(axis=1)
        log_m = shiryaev_roberts(log_m, above[:, :, None] * won + (BLOCK - above)[:, :, None] * lost)
        statistic = np.logaddexp.reduce(log_m.reshape(count, -1), axis=1) - np.log(won.size)
        new = np.isinf(at) & (statistic >= np.log(RUN_LENGTH / BLOCK))
        at[new] = BLOCK * (block + 1)
    assert len(rates) == won.shape[0]
    return at


def _sum_of(rungs: Ladder, flagged: bool) -> np.ndarray:
    """Log bets of one item above every rung, or below every one."""
    return evidence([np.inf if flagged else -np.inf], rungs).log_e


def test_few_null_streams_alarm() -> None:
    assert np.isfinite(alarms(300, 0, 0, 2000)).mean() <= 0.05


@pytest.mark.parametrize(("share", "delay"), [(0.05, 1400), (0.1, 450), (0.2, 150), (0.5, 100)])
def test_change_is_seen_soon(share: float, delay: float) -> None:
    found = alarms(100, share, 200, 400) - 200 * BLOCK
    assert np.median(found[found > 0]) <= delay


def test_simulation_of_counts_is_the_monitor() -> None:
    rungs = ladders(1)[0]
    scores = np.random.default_rng(5).normal(0.3, 1, 1000)
    watch = Monitor(rungs).update(scores)
    log_m = np.full_like(watch.log_m, -np.inf)
    for block in scores.reshape(-1, BLOCK):
        above = rungs.flags(block).sum(axis=0)[:, None]
        log_m = shiryaev_roberts(log_m, above * _sum_of(rungs, True) + (BLOCK - above) * _sum_of(rungs, False))
    np.testing.assert_allclose(watch.log_m, log_m, atol=1e-9)


def test_workers_and_pieces_add_up() -> None:
    rungs, rng = ladders(1)[0], np.random.default_rng(6)
    scores = rng.normal(0.2, 1, 2000)
    whole = Monitor(rungs).update(scores)
    pieces = Monitor(rungs)
    for part in np.array_split(scores, 37):
        pieces.update(part)
    four = Monitor(rungs)
    for block in scores.reshape(-1, BLOCK):
        parts = [evidence(block[worker::4], rungs) for worker in range(4)]
        four.add(sum(parts[1:], parts[0]))
    for other in (pieces, four):
        np.testing.assert_allclose(other.log_m, whole.log_m, atol=1e-9)
        assert other.items == whole.items == 2000


@pytest.mark.parametrize("size", [2, 5, 10, 25])
def test_groups_of_equal_items_do_not_alarm(size: int) -> None:
    rungs, rng = ladders(20), np.random.default_rng(size)
    found = []
    for one in rungs:
        scores = np.repeat(rng.normal(size=8000), size)
        found.append(Monitor(one).update(scores, np.repeat(np.arange(8000), size)).alarm)
    assert np.mean(found) <= 0.15


def test_items_in_clumps_without_a_group_are_named() -> None:
    rungs, rng = ladders(1)[0], np.random.default_rng(7)
    assert Monitor(rungs).update(np.repeat(rng.normal(size=5000), 5)).clumps() > 1.5
    assert Monitor(rungs).update(rng.normal(size=25_000)).clumps() < 1.5
    assert np.isnan(Monitor(rungs).clumps())


def test_alarm_stays_until_it_is_acknowledged_and_survives_a_restart() -> None:
    rungs, rng = ladders(1)[0], np.random.default_rng(8)
    watch = Monitor(rungs).update(rng.normal(size=1010)).update(rng.normal(3, 1, 200))
    assert watch.alarm
    at = watch.alarmed_at
    watch.update(rng.normal(size=3000))
    assert watch.alarm and watch.alarmed_at == at
    again = Monitor(rungs).resumed(watch.state())
    rest = rng.normal(size=777)
    np.testing.assert_array_equal(again.update(rest).log_m, watch.update(rest).log_m)
    assert (again.alarm, again.alarmed_at, again.items) == (watch.alarm, at, watch.items)
    assert not watch.acknowledge().alarm
    assert watch.update(rng.normal(size=3000)).alarm is False
    with pytest.raises(UserError, match="another|rungs"):
        Monitor(ladder(np.arange(60.0))).resumed(watch.state())


def test_missing_scores_are_no_evidence() -> None:
    rungs, scores = ladders(1)[0], np.random.default_rng(9).normal(size=500)
    with_gaps = np.insert(scores, [3, 40, 400], np.nan)
    np.testing.assert_allclose(Monitor(rungs).update(with_gaps).log_m, Monitor(rungs).update(scores).log_m, atol=1e-9)
    assert Monitor(rungs).update([]).items == 0
    assert Monitor(rungs).update([np.nan] * 60).blocks == 0


def test_always_valid_interval_holds_at_every_look() -> None:
    rng = np.random.default_rng(10)
    flags = rng.random((400, 3000)) < 0.05
    sums, n = flags.cumsum(axis=1), np.arange(1, 3001)
    from scipy.special import betaln, xlog1py, xlogy

    left_out = betaln(sums + 1, n - sums + 1) - xlogy(sums, 0.05) - xlog1py(n - sums, -0.05) >= np.log(20)
    assert left_out.any(axis=1).mean() <= 0.05
    low, high = always_valid_interval(50, 1000)
    assert low < 0.05 < high
    assert always_valid_interval(0, 10)[0] == 0
    assert always_valid_interval(10, 10)[1] == 1
    assert always_valid_interval(0, 0) == (0.0, 1.0)


def test_bad_input_is_told() -> None:
    rungs = ladders(1)[0]
    with pytest.raises(UserError, match="group a score"):
        Monitor(rungs).update([1.0, 2.0], ["a"])
    with pytest.raises(UserError, match="mean run length"):
        Monitor(rungs, run_length=10)
    assert isinstance(evidence([1.0], rungs), Evidence)
