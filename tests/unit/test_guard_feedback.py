"""Labels that came back: which of them count, and what they certify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from scipy import stats

from outfield.errors import UserError
from outfield.guard.audit import Audit
from outfield.guard.feedback import audited, certified_rate, findings, labels, prediction_powered_mean, uniform
from outfield.guard.service import Service, app_of
from tests.integration.test_cli import typed
from tests.unit.test_guard_audit import folder, part, stream

assert folder  # a fixture


def table(n: int, **columns: object) -> pl.DataFrame:
    given = {
        "answer": [f"r-{i}" for i in range(n)], "verdict": ["id"] * n, "prediction": ["cat"] * n, "label": ["cat"] * n,
        "audited": [True] * n, "audit_probability": [0.1] * n,
    }  # fmt: skip
    return pl.DataFrame(given | columns)


def test_clopper_pearson_is_that_of_scipy_and_holds_for_nothing() -> None:
    found = certified_rate(7, 300)
    expected = stats.binomtest(7, 300).proportion_ci(method="exact")
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (certified_rate(0, 0).low, certified_rate(0, 0).high) == (0.0, 1.0)


def test_prediction_powered_mean_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    truth, said, others = rng.random(40), rng.random(40), rng.random(500)
    found = prediction_powered_mean(truth, said, others, level=0.9)
    se = np.sqrt(np.var(others, ddof=1) / 500 + np.var(said - truth, ddof=1) / 40)
    assert found.value == pytest.approx(others.mean() - (said - truth).mean())
    assert found.high - found.low == pytest.approx(2 * 1.6448536 * se)
    with pytest.raises(UserError, match="a prediction a truth"):
        prediction_powered_mean(truth, said[:-1], others)


def test_good_predictions_narrow_the_interval_and_bad_ones_move_nothing() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(20_400) < 0.2
    good = np.where(rng.random(20_400) < 0.95, truth, ~truth)
    widths = []
    for said in (good, rng.random(20_400) < 0.9):
        found = prediction_powered_mean(truth[:400], said[:400], said[400:])
        assert found.low < 0.2 < found.high
        widths.append(found.high - found.low)
    classical = certified_rate(int(truth[:400].sum()), 400)
    assert widths[0] < 0.65 * (classical.high - classical.low) < widths[1]


@pytest.mark.parametrize(
    ("n", "flagged", "verdict"),
    [(1000, 30, "confirmed"), (200, 6, "open"), (1000, 90, "broken"), (100, 0, "confirmed")],
)
def test_the_promise_is_confirmed_broken_or_open(n: int, flagged: int, verdict: str) -> None:
    known = table(n, verdict=["ood"] * flagged + ["id"] * (n - flagged))
    found = findings(known, known)
    assert found.verdict == verdict
    assert found.said.startswith(verdict.upper())
    assert found.false_alarms.value == flagged / n
    if verdict == "open":
        assert f"{found.n_needed:,} labelled" in found.said
        assert found.n_needed > n


def test_rates_are_of_what_they_say() -> None:
    known = table(
        6,
        verdict=["id", "ood", "id", "ood", "id", "no verdict"],
        label=["cat", "cat", "dog", "ood", "ood", None],
    )
    found = findings(known, known)
    assert (found.answers, found.marked, found.labelled) == (6, 6, 5)
    assert (found.false_alarms.value, found.false_alarms.n) == (1 / 3, 3)
    assert (found.misses.value, found.misses.n) == (0.5, 2)
    assert found.wrong is not None
    assert (found.wrong.value, found.wrong.n) == (3 / 5, 5)
    assert found.wrong_powered is None
    assert findings(known.with_columns(prediction=None), known).wrong is None
    nothing = known.with_columns(label=pl.lit(None, pl.String))
    assert (findings(nothing, nothing).verdict, findings(nothing, nothing).bound) == ("open", 1.0)


def test_a_sample_of_two_probabilities_is_thinned_to_the_smaller() -> None:
    n = 20_000
    often = np.arange(n) < n // 2
    rng = np.random.default_rng(0)
    probability = np.where(often, 0.2, 0.05)
    given = table(n, audited=rng.random(n) < probability, audit_probability=probability)
    kept = uniform(given).to_numpy()
    assert abs(kept[often].mean() - 0.05) < 0.01
    assert kept[~often].sum() == given["audited"].to_numpy()[~often].sum()


def test_feedback_is_joined_with_the_audit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log", probability=0.5))
    client = TestClient(app_of(service))
    fields = stream(600)
    told, marked = 0, 0
    for at in range(0, 600, 100):
        said = client.post(
            "/score", json={name: one.tolist() for name, one in part(fields, at, at + 100).items()}
        ).json()
        back = [
            {"answer": one, "label": label if at else "ood"}
            for one, label in zip(said["answer"], said["prediction"], strict=True)
        ]
        assert client.post("/feedback", json={"feedback": back}).json() == {"taken": 100}
        told, marked = told + 100, marked + sum(said["audit"])
    assert client.post("/feedback", json={"answer": said["answer"][0], "label": 2}).json() == {"taken": 1}
    service.close()
    known = labels(tmp_path / "log")
    assert known.height == 600
    assert dict(known.iter_rows())[said["answer"][0]] == "2"
    found = audited(tmp_path / "log")
    assert (found.answers, found.marked, found.labelled) == (600, marked, marked)
    assert found.volunteered == 600 - marked
    assert found.wrong is not None
    assert 0.08 < found.wrong.value < 0.28
    assert found.wrong_powered is not None
    assert found.wrong_powered.low < 1 / 6 < found.wrong_powered.high
    assert typed("guard", "audit", str(tmp_path / "log")) == 0
    out = capsys.readouterr().out
    assert f"600 answers, {marked} marked" in out
    assert "Flagged among ID inputs" in out


def test_the_shell_ends_with_3_where_the_promise_is_broken(folder: Path, tmp_path: Path) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log", probability=1.0))
    client = TestClient(app_of(service))
    strange = {name: one.tolist() for name, one in stream(200, shift=9).items()}
    for ids in [client.post("/score", json=strange).json()["answer"]]:
        client.post("/feedback", json={"feedback": [{"answer": one, "label": "0"} for one in ids]})
    service.close()
    assert typed("guard", "audit", str(tmp_path / "log")) == 3


@pytest.mark.parametrize(
    "body", [{}, {"answer": 3, "label": "a"}, {"answer": "x"}, {"feedback": [1]}, {"answer": "x" * 101, "label": "a"}]
)
def test_feedback_that_is_none_is_refused(folder: Path, tmp_path: Path, body: dict[str, object]) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    answer = TestClient(app_of(service)).post("/feedback", json=body)
    service.close()
    assert answer.status_code == 400
    assert "the id of an answer" in answer.json()["error"]


def test_without_a_log_there_is_no_feedback(folder: Path) -> None:
    service = Service(folder)
    answer = TestClient(app_of(service)).post("/feedback", json={"answer": "x", "label": "a"})
    service.close()
    assert answer.status_code == 404
    assert "--audit" in answer.json()["error"]
