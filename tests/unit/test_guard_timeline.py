"""A guard's story from its audit log: looks, alarms, acknowledgements, estimated accuracy, and the page of them."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from fastapi.testclient import TestClient

from outfield.dashboard import guard_displays
from outfield.dashboard.guard_page import app_of_page, html, page_of_log, save, view_of_log, view_of_service, with_page
from outfield.errors import UserError
from outfield.guard import recent_accuracy
from outfield.guard.audit import Audit, log_rows
from outfield.guard.bundle import Bundle
from outfield.guard.description import Description
from outfield.guard.metrics import Counts
from outfield.guard.monitor import Monitor, always_valid_interval
from outfield.guard.recent_accuracy import RecentAccuracy
from outfield.guard.service import Service, app_of
from outfield.guard.thresholds import ladder
from outfield.guard.timeline import Timeline, is_log, monitor_of, timeline
from tests.integration.test_cli import typed
from tests.unit.test_guard_audit import Clock, fed, part, stream
from tests.unit.test_guard_bundle import bundle_of, network, rows

ADMIN, TOKEN = {"Authorization": "Bearer the operator's own"}, {"Authorization": "Bearer of the scoring ones"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("timeline")
    return bundle_of(network(), place, calibrate=rows(1)).save(place / "a.guard")


def far(n: int, seed: int = 9) -> dict[str, np.ndarray]:
    """Outputs of the network for inputs that are flagged."""
    return stream(n, seed=seed, shift=9.0)


@pytest.fixture(scope="module")
def told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Timeline]:
    """A log with an alarm that was acknowledged, another that was not, and what it tells."""
    log, clock = tmp_path_factory.mktemp("story") / "log", Clock()
    service = Service(folder, audit=Audit(log, clock=clock))
    for fields, ends in ((stream(610), False), (far(180), True), (stream(413, seed=6), False), (far(177), False)):
        for at in range(0, len(fields["logits"]), 7):
            clock.now += timedelta(seconds=1)
            service.of_values(part(fields, at, at + 7))
        if ends:
            clock.now += timedelta(seconds=1)
            service._acknowledge("a new camera")
    service.close()
    return log, timeline(log)


def test_alarms_and_acknowledgements_are_told_in_order(told: tuple[Path, Timeline]) -> None:
    _, story = told
    first, second = story.alarms
    assert (first.direction, first.note, second.acknowledged) == ("up", "a new camera", None)
    assert first.acknowledged is not None and first.time < first.acknowledged < second.time
    assert 610 < first.at <= 750 and 610 + 180 + 413 < second.at <= 1380
    assert story.open_alarms == [second]
    assert story.earlier == story.lacking == 0


def test_the_replayed_monitor_is_that_of_the_service_to_the_last_bet(folder: Path, tmp_path: Path) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    fed(service, stream(300))
    fed(service, far(133))
    service._acknowledge("")
    fed(service, stream(219, seed=8))
    service.close()
    replayed, lacking = monitor_of(Bundle.load(folder), tmp_path / "log")
    assert lacking == 0
    for name, one in replayed.directions.items():
        other = service.monitor.directions[name]
        np.testing.assert_allclose(one.log_m, other.log_m, atol=1e-9)
        assert (one.items, one.alarm, one.blocks) == (other.items, other.alarm, other.blocks)
    again = Service(folder, audit=Audit(tmp_path / "log"))
    for name, one in again.monitor.directions.items():
        np.testing.assert_array_equal(one.log_m, service.monitor.directions[name].log_m)
    again.close()


@pytest.mark.parametrize("after", [0, 70])
def test_an_alarm_is_acknowledged_after_a_restart(folder: Path, tmp_path: Path, after: int) -> None:
    first = Service(folder, audit=Audit(tmp_path / "log"))
    fed(first, stream(120))
    fed(first, far(133))
    first.close()
    assert len(timeline(tmp_path / "log").open_alarms) == 1
    second = Service(folder, audit=Audit(tmp_path / "log"))
    if after:
        fed(second, stream(after, seed=8))
    second._acknowledge("seen in the morning")
    fed(second, stream(91, seed=7))
    second.close()
    story = timeline(tmp_path / "log")
    assert [one.note for one in story.alarms] == ["seen in the morning"] and not story.open_alarms
    np.testing.assert_allclose(story.monitor.log_m, second.monitor.log_m, atol=1e-9)


def test_a_log_is_told_from_studies(told: tuple[Path, Timeline], tmp_path: Path) -> None:
    assert is_log(told[0]) and not is_log(tmp_path) and not is_log(tmp_path / "absent")


def test_looks_are_the_monitor_and_the_counts_of_verdicts(told: tuple[Path, Timeline], folder: Path) -> None:
    _, story = told
    scores, flags = story.answers["score"].to_numpy(), (story.answers["verdict"] == "ood").to_numpy()
    assert story.looks["flagged"].to_list() == flags.cumsum()[49::50].tolist()
    assert story.looks["in_block"].sum() == story.looks["flagged"][-1]
    watch = Bundle.load(folder).monitor()
    for block in range(12):
        watch.update(scores[50 * block : 50 * block + 50])
        assert story.looks["up"][block] == pytest.approx(watch.statistic, rel=1e-9)


def test_the_log_says_what_its_bundle_is(told: tuple[Path, Timeline], folder: Path) -> None:
    log, story = told
    bundle = Bundle.load(folder)
    found = Description.load(log, bundle.manifest.digest)
    assert found.manifest == bundle.manifest and found.threshold == bundle.threshold
    for mirror in (False, True):
        np.testing.assert_array_equal(
            found.monitor(mirror=mirror).ladder.values, bundle.monitor(mirror=mirror).ladder.values
        )
    next((log / "bundles").glob("*.json")).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        timeline(log)
    Description.of(bundle).save(log)
    assert timeline(log).alarms == story.alarms
    with pytest.raises(UserError, match="older outfield"):
        Description.load(log, "abc")


def test_evidence_begins_anew_with_what_comes_after() -> None:
    rungs, rng = ladder(np.random.default_rng(0).normal(size=5000)), np.random.default_rng(1)
    watch = Monitor(rungs, mirror=Monitor(ladder(-np.random.default_rng(0).normal(size=5000))))
    watch.update(rng.normal(4, 1, 130))
    assert watch.alarm and watch.open is not None and watch.open.items == 30
    watch.acknowledge()
    rest = rng.normal(size=70)
    after = watch.update(rest)
    fresh = Monitor(rungs)
    fresh.update(rest[:20])
    assert fresh.open is not None
    first = fresh.open.log_e  # one block of the 20 that came after, then one of 50
    fresh_second = Monitor(rungs).update(rest[20:])
    np.testing.assert_allclose(after.log_m, fresh_second.log_m + np.logaddexp(0.0, first), atol=1e-9)
    assert after.items == 200 and not after.alarm


def test_the_mirror_sees_scores_fall_and_each_is_acknowledged_alone() -> None:
    calibration = np.random.default_rng(0).normal(size=5000)
    watch = Monitor(ladder(calibration), mirror=Monitor(ladder(-calibration)))
    watch.update(np.random.default_rng(2).normal(-3, 1, 300))
    assert watch.mirror is not None and watch.mirror.alarm and not watch.alarm
    up = watch.log_m.copy()
    again = Monitor(ladder(calibration), mirror=Monitor(ladder(-calibration))).resumed(watch.state())
    assert again.mirror is not None and again.mirror.alarmed_at == watch.mirror.alarmed_at
    watch.acknowledge()
    assert not watch.mirror.alarm
    np.testing.assert_array_equal(watch.log_m, up)


def test_acknowledging_is_the_operators_and_needs_an_alarm(folder: Path, tmp_path: Path) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    client = TestClient(app_of(service, "of the scoring ones", "the operator's own"))
    assert client.post("/acknowledge", json={}).status_code == 401
    assert client.post("/acknowledge", json={}, headers=TOKEN).status_code == 401
    assert client.post("/acknowledge", json={}, headers=ADMIN).status_code == 409
    fed(service, far(200))
    assert client.get("/monitor", headers=TOKEN).json()["alarm"] is True
    assert client.post("/acknowledge", json={"note": 3}, headers=ADMIN).status_code == 400
    assert client.post("/acknowledge", json={"note": "x" * 2000}, headers=ADMIN).status_code == 400
    found = client.post("/acknowledge", json={"note": "seen"}, headers=ADMIN).json()
    assert list(found["acknowledged"]) == ["up"]
    assert "100,000 inputs (of both directions together: 50,000) on average, at least" in found["said"]
    watch = client.get("/monitor", headers=TOKEN).json()
    assert watch["alarm"] is False and watch["mirror"]["alarm"] is False
    assert "outfield_acknowledgements_total 1.0" in client.get("/metrics", headers=TOKEN).text
    service.close()
    events = log_rows(tmp_path / "log", "events")
    assert events.select("event", "note", "after_row").rows() == [("acknowledged", "seen", 199)]


def test_recent_accuracy_is_that_of_the_window_and_refused_where_it_is_ood() -> None:
    rng = np.random.default_rng(0)
    known = 2 * rng.normal(size=(1000, 3))
    labels = (known + rng.gumbel(size=known.shape)).argmax(axis=1)
    made = []
    recent = RecentAccuracy(known, labels, ladder(-known.max(axis=1)), made.append, window=400)
    for batch in np.array_split(known[:399] / 4, 7):
        recent.add(batch, np.zeros(len(batch)) - 9)
    assert recent.latest is None and not made
    recent.add(np.array([[np.nan, 0, 0], [0.1, 0, 0]]), np.array([-9.0, -9.0]))
    recent.close()
    asked = np.concatenate([known[:399] / 4, [[0.1, 0, 0]]])
    p = np.exp(asked) / np.exp(asked).sum(axis=1, keepdims=True)
    value = made[0].estimates["average_confidence"]
    assert value.value == pytest.approx(p.max(axis=1).mean(), abs=0.02) and value.n == 400
    assert set(made[0].estimates) == set(recent_accuracy.ESTIMATORS)
    other = RecentAccuracy(known, labels, ladder(-known.max(axis=1)), window=100)
    other.add(known[:100], np.full(100, 9.0))
    other.close()
    assert other.latest is not None and other.latest.refused and "No accuracy" in other.latest.trust


def test_a_service_says_how_accurate_its_model_still_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service(folder, network(), audit=Audit(tmp_path / "log"))
    client = TestClient(app_of(service))
    assert "No estimate yet" in client.get("/accuracy").json()["trust"]
    x, y = rows(4, 1200)
    for at in range(0, 1200, 300):
        client.post("/score", json={"inputs": x[at : at + 300].tolist()})
    service.close()
    found = client.get("/accuracy").json()
    truth = float((network()(torch.from_numpy(x)).argmax(1).numpy() == y).mean())
    for one in found["estimates"].values():
        assert one["low"] - 0.01 <= truth <= one["high"] + 0.01 and one["n"] == 1000
    assert 0 <= found["ood_share"] < 0.1
    assert 0 <= found["seconds_ago"] < 60
    text = client.get("/metrics").text
    assert 'outfield_estimated_accuracy_ratio{bound="value",estimator="average_confidence"}' in text
    logged = log_rows(tmp_path / "log", "accuracy")
    assert logged["estimator"].to_list() == list(recent_accuracy.ESTIMATORS)
    assert logged["value"].to_list() == [one["accuracy"] for one in found["estimates"].values()]
    assert typed("guard", "monitor", str(folder), str(tmp_path / "log")) == 0
    said = capsys.readouterr().out
    assert "Recent inputs, average_confidence: " in said and "The estimates speak of the rest" in said


def test_a_bundle_keeps_labelled_answers_only_where_they_mean_something(tmp_path: Path) -> None:
    x, y = rows(1)
    made = bundle_of(network(), tmp_path, calibrate=(x, y))
    np.testing.assert_array_equal(made.state["known/labels"].numpy(), y)
    expected = network()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(made.state["known/logits"].numpy(), expected, atol=1e-5)
    assert "known/logits" not in bundle_of(network(), tmp_path).state
    strange = bundle_of(network(), tmp_path, calibrate=(x, np.full(len(y), 7)))
    assert "known/logits" not in strange.state
    assert any("No accuracy will be estimated" in one for one in strange.manifest.checks)
    few = bundle_of(network(), tmp_path, calibrate=(x[:100], y[:100]))
    assert len(few.state["known/labels"]) == 100


def test_displays_show_the_values_of_the_log(told: tuple[Path, Timeline]) -> None:
    view = view_of_log(told[0])
    rate = guard_displays.flag_rate(view).frame()
    flags = int((view.story.answers["verdict"] == "ood").to_numpy()[: int(rate["inputs"][-1])].sum())
    assert rate["share"][-1] == pytest.approx(flags / rate["inputs"][-1])
    assert (rate["low"][-1], rate["high"][-1]) == pytest.approx(always_valid_interval(flags, rate["inputs"][-1]))
    rungs = guard_displays.ladder(view).frame()
    watch = view.monitor
    assert rungs["promised"].to_list() == pytest.approx((100 * watch.ladder.rates).tolist())
    assert rungs["observed"].to_list() == pytest.approx((100 * watch.flags / watch.items).tolist())
    assert set(rungs["verdict"]) <= {guard_displays.WITHIN, guard_displays.ABOVE}
    alarms = guard_displays.alarms(view).frame()
    assert alarms["note"].to_list() == ["a new camera", ""]
    flagged = guard_displays.flagged_inputs(view).frame()
    last = view.story.answers.filter(pl.col("verdict") == "ood")[-1]
    assert flagged.row(0, named=True)["input"] == last["input"][0]
    assert flagged["score"][0] == last["score"][0]
    assert guard_displays.traffic(view).frame()["inputs"].sum() == len(view.story.answers)


def test_the_page_of_nothing_says_so(folder: Path, tmp_path: Path) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    live, still = html(view_of_service(service), live=True), html(view_of_log(tmp_path / "log"))
    for text in (live, still):
        assert "No request yet." in text and "ALARM" not in text
    service.close()
    alone = Service(folder)
    assert "keeps no audit log" in html(view_of_service(alone), live=True)
    fed(alone, stream(60))
    assert "No alarm in 50 inputs." in html(view_of_service(alone), live=True)
    alone.close()
    with pytest.raises(UserError, match="audit log"):
        view_of_log(tmp_path)


def test_the_live_page_is_read_with_the_token_alone(told: tuple[Path, Timeline], folder: Path) -> None:
    page = TestClient(app_of_page(page_of_log(told[0]), token="a secret of the house", hosts=("*",)))
    assert page.get("/").status_code == 401
    assert page.post("/").status_code == 405
    answer = page.get("/?token=a secret of the house")
    assert answer.status_code == 200 and "ALARM" in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert page.get("/", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert {page.get(f"/{name}.js").status_code for name in ("vega", "page", "guard")} == {200}
    service = Service(folder)
    served = TestClient(with_page(app_of(service, "t" * 16), service, token="t" * 16, hosts=("*",)))
    assert served.get("/dashboard/").status_code == 401
    assert served.get("/?token=" + "t" * 16).status_code == 200
    assert served.get("/dashboard/page.js").status_code == 200
    assert served.get("/monitor").status_code == 401, "the page's cookie opens the page alone"
    assert served.get("/healthz").status_code == 200
    service.close()


def test_the_live_page_follows_the_log(folder: Path, tmp_path: Path) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    served = TestClient(with_page(app_of(service), service, hosts=("*",)))
    assert "No request yet." in served.get("/dashboard/").text
    for at in range(0, 200, 50):
        served.post("/score", json={name: one.tolist() for name, one in part(far(200), at, at + 50).items()})
    assert service.audit is not None
    end = time.monotonic() + 20
    while (found := served.get("/dashboard/").text).find("ALARM") < 0 and time.monotonic() < end:
        time.sleep(0.1)
    assert "ALARM after" in found and "requests answered with 200" in found
    service.close()


def test_seconds_lie_straight_between_the_bounds_of_the_histogram() -> None:
    counts = Counts()
    assert np.isnan(counts.seconds_of(0.5)) and counts.by_status() == {}
    for value in (0.004, 0.008):
        counts.seconds.observe(value)
        counts.requests.labels("200").inc()
    assert counts.seconds_of(0.5) == pytest.approx(0.005)
    assert counts.seconds_of(0.99) == pytest.approx(0.005 + 0.005 * 0.98)
    assert counts.by_status() == {"200": 2}
    for _ in range(9):
        counts.seconds.observe(1000)
    assert counts.seconds_of(0.99) == 10.0


def test_the_page_needs_no_torch() -> None:
    code = "import sys, outfield.dashboard.guard_page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_commands(told: tuple[Path, Timeline], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("guard", "dashboard", str(told[0]), "-o", str(tmp_path / "guard.html")) == 0
    assert (tmp_path / "guard.html").read_text(encoding="utf-8").count("</article>") == 8
    assert save(view_of_log(told[0]), tmp_path / "b.html").is_file()
    assert typed("guard", "acknowledge", "not an address") != 0
    assert "http://127.0.0.1:8643" in capsys.readouterr().err
    assert typed("guard", "acknowledge", "http://127.0.0.1:9") != 0
    assert "Check the address" in capsys.readouterr().err
