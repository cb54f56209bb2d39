"""The audit log: what it holds, what it survives, and that the monitor can be had from it."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from fastapi.testclient import TestClient

from outfield.errors import UserError
from outfield.guard import row_log
from outfield.guard.audit import Audit, answers, hashes, resumed
from outfield.guard.bundle import Bundle
from outfield.guard.row_log import RowLog, files, rows
from outfield.guard.service import Service, app_of
from outfield.guard.timeline import monitor_of
from tests.integration.test_cli import typed
from tests.unit.test_guard_bundle import bundle_of, network
from tests.unit.test_guard_bundle import rows as inputs

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("OUTFIELD_KILLS", "10"))
FLOATS = {"score": pa.float64()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audited")
    return bundle_of(network(), place).save(place / "a.guard")


def stream(n: int, seed: int = 5, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Outputs of the network for ID inputs, or for shifted ones."""
    net, x = network(), torch.from_numpy(inputs(seed, n)[0]) - shift
    with torch.inference_mode():
        return {"features": net[:2](x).numpy(), "logits": net(x).numpy()}


def part(fields: dict[str, np.ndarray], start: int, stop: int) -> dict[str, np.ndarray]:
    return {name: one[start:stop] for name, one in fields.items()}


def fed(service: Service, fields: dict[str, np.ndarray], step: int = 7) -> list[dict[str, Any]]:
    n = len(fields["logits"])
    return [service.of_values(part(fields, at, at + step)) for at in range(0, n, step)]


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 59, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_the_log_holds_the_answers_and_not_the_inputs(folder: Path, tmp_path: Path) -> None:
    fields = stream(120)
    service = Service(folder, audit=Audit(tmp_path / "log", probability=0.2))
    said = fed(service, fields)
    service.close()
    table = answers(tmp_path / "log")
    for name in ("score", "p", "verdict", "answer"):
        assert table[name].to_list() == [one for reply in said for one in reply[name]]
    assert table["audited"].to_list() == [one for reply in said for one in reply["audit"]]
    assert table["prediction"].to_list() == [str(one) for one in fields["logits"].argmax(1)]
    assert set(table["digest"]) == {Bundle.load(folder).manifest.digest}
    assert set(table["audit_probability"]) == {0.2}
    assert 8 <= table["audited"].sum() <= 45
    assert [path.suffix for path in files(tmp_path / "log" / "answers")] == [".parquet"]
    content = b"".join(path.read_bytes() for path in files(tmp_path / "log" / "answers"))
    assert fields["features"][0].tobytes() not in content


def test_hashes_need_the_key_and_tell_fields_apart(tmp_path: Path) -> None:
    x = np.arange(6.0).reshape(3, 2)
    assert hashes({"inputs": x}, b"a") == hashes({"inputs": x.copy()}, b"a")
    assert hashes({"inputs": x}, b"a") != hashes({"inputs": x}, b"b")
    assert hashes({"inputs": x}, b"a") != hashes({"features": x}, b"a")
    assert hashes({"inputs": x}, b"a") != hashes({"inputs": x.astype(np.float32)}, b"a")
    assert len(set(hashes({"inputs": x}, b"a"))) == 3


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    first = Audit(tmp_path / "log")
    first.close()
    key = tmp_path / "log" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = Audit(tmp_path / "log")
    again.close()
    assert again._key == first._key == key.read_bytes()
    key.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Audit(tmp_path / "log")
    with pytest.raises(UserError, match="no such file"):
        Audit(tmp_path / "log", key=tmp_path / "absent")
    (tmp_path / "short").write_bytes(b"short")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(UserError, match="at least 32 bytes"):
        Audit(tmp_path / "log", key=tmp_path / "short")
    with pytest.raises(UserError, match="above 0"):
        Audit(tmp_path / "log", probability=0)


def test_one_process_writes_into_a_folder(tmp_path: Path) -> None:
    log = RowLog(tmp_path, FLOATS)
    with pytest.raises(UserError, match="another does"):
        RowLog(tmp_path, FLOATS)
    log.close()
    RowLog(tmp_path, FLOATS).close()


def test_files_are_hourly_and_the_clock_may_go_back(tmp_path: Path) -> None:
    clock = Clock()
    log = RowLog(tmp_path, FLOATS, clock=clock)
    for number, hours in enumerate((0, 0, 1, -2, -2, 1)):
        clock.now += timedelta(hours=hours)
        log.add({"score": [float(number)] * row_log.BLOCK})
        while log.written < (number + 1) * row_log.BLOCK:
            time.sleep(0.005)
    log.close()
    assert rows(tmp_path)["score"].to_list() == np.repeat(np.arange(6.0), row_log.BLOCK).tolist()
    hours = [path.stem.rpartition("-")[2] for path in files(tmp_path)]
    assert hours == ["20260301T12", "20260301T13", "20260301T11", "20260301T09", "20260301T10"]
    again = RowLog(tmp_path, FLOATS, clock=clock)
    again.add({"score": [9.0]})
    again.close()
    assert rows(tmp_path)["score"][-1] == 9.0


def test_rows_of_the_open_hour_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    log = RowLog(tmp_path, FLOATS)
    log.add({"score": np.arange(row_log.BLOCK, dtype=float).tolist()})
    while not log.written:
        time.sleep(0.005)
    assert rows(tmp_path)["score"].to_list() == np.arange(row_log.BLOCK).tolist()
    assert files(tmp_path)[0].suffix == ".arrows"
    log.close()


def test_a_stream_that_breaks_off_keeps_its_whole_blocks_and_becomes_parquet(tmp_path: Path) -> None:
    log = RowLog(tmp_path, FLOATS)
    for at in (0, 1):
        log.add({"score": [float(at)] * row_log.BLOCK})
        while log.written < (at + 1) * row_log.BLOCK:
            time.sleep(0.005)
    left = files(tmp_path)[0]
    content = left.read_bytes()
    log.close()
    for path in files(tmp_path):
        path.unlink()
    left.write_bytes(content[:-100])
    (tmp_path / "000002-000000000000-20260301T12.arrows").write_bytes(b"\0\0")
    assert rows(tmp_path)["score"].to_list() == [0.0] * row_log.BLOCK
    RowLog(tmp_path, FLOATS).close()
    assert [path.suffix for path in files(tmp_path)] == [".parquet"]
    assert rows(tmp_path)["score"].to_list() == [0.0] * row_log.BLOCK


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond a kilobyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_fails_no_request_and_is_told(folder: Path, tmp_path: Path, full_disk: None) -> None:
    service = Service(folder, audit=Audit(tmp_path / "log"))
    client = TestClient(app_of(service))
    fields = stream(210)
    for at in range(0, 210, 70):
        values = {name: one.tolist() for name, one in part(fields, at, at + 70).items()}
        assert client.post("/score", json=values).status_code == 200
    assert service.audit is not None
    while service.audit.lost < 210:
        time.sleep(0.01)
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["audit"]["lost"] == 210
    assert ready.json()["audit"]["failure"]
    assert ready.json()["audit"]["state_failures"] > 0
    assert 'outfield_audit_rows_total{fate="lost"} 210.0' in client.get("/metrics").text
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    fed(service, fields, 70)
    service.close()
    table = answers(tmp_path / "log")
    assert table["row"].to_list() == list(range(210, 420))
    assert monitor_of(Bundle.load(folder), tmp_path / "log")[1] == 210
    assert service.audit.health()["failure"] is None


def test_a_folder_that_cannot_be_written_fails_no_request(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file has this name")
    service = Service(folder, audit=Audit(tmp_path / "log"))
    assert len(fed(service, stream(70))) == 10
    service.close()
    assert service.audit is not None
    assert service.audit.health()["lost"] == 70
    assert service.audit.failures > 0


def test_rows_that_come_too_fast_are_counted_and_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowLog, "_write", lambda self, columns: time.sleep(0.3))
    log = RowLog(tmp_path, FLOATS, waiting=4)
    start = time.perf_counter()
    numbers = [log.add({"score": [0.0] * 100}) for _ in range(50)]
    assert time.perf_counter() - start < 0.25
    assert numbers[-1][-1] == 4_999
    assert log.lost >= 4_000
    assert "faster" in log.failure
    log.close()


def test_the_monitor_is_had_from_the_log_to_1e9_also_over_a_restart(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, bundle = stream(900), Bundle.load(folder)
    for at in (0, 430):
        service = Service(folder, audit=Audit(tmp_path / "log"))
        fed(service, part(fields, at, at + 470 if at else 430))
        service.close()
    offline = bundle.monitor().update(bundle.score(None, **fields).score)
    from_log, lacking = monitor_of(bundle, tmp_path / "log")
    assert lacking == 0
    assert offline.items == 900
    for watch in (service.monitor, from_log):
        for name, value in offline.state().items():
            np.testing.assert_allclose(watch.state()[name], value, rtol=1e-9, atol=1e-9)
    assert typed("guard", "monitor", str(folder), str(tmp_path / "log")) == 0
    assert "900 items in 18 blocks" in capsys.readouterr().out


def test_the_alarm_outlives_a_restart_and_the_log_shows_it(folder: Path, tmp_path: Path) -> None:
    strange = stream(200, shift=9)
    service = Service(folder, audit=Audit(tmp_path / "log"))
    fed(service, strange)
    service.close()
    again = Service(folder, audit=Audit(tmp_path / "log"))
    assert again.monitor.alarm
    assert again.monitor.alarmed_at == service.monitor.alarmed_at
    again.close()
    assert typed("guard", "monitor", str(folder), str(tmp_path / "log")) == 3


def test_another_bundle_begins_anew(folder: Path, tmp_path: Path) -> None:
    other = bundle_of(network(), tmp_path, alpha=0.1).save(tmp_path / "b.guard")
    for place in (folder, other):
        service = Service(place, audit=Audit(tmp_path / "log"))
        fed(service, stream(140))
        service.close()
    assert service.monitor.items + service.monitor.open.items == 140  # type: ignore[union-attr]
    assert monitor_of(Bundle.load(other), tmp_path / "log")[0].blocks == 2
    with pytest.raises(UserError, match="answers of this bundle"):
        monitor_of(Bundle.load(folder), tmp_path / "log")


def test_a_damaged_state_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "monitor.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="it is damaged"):
        Service(folder, audit=Audit(tmp_path / "log"))


def test_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is none"):
        answers(tmp_path)


STEP = 7


def serve_until_killed(folder: Path, log: Path, fields: dict[str, np.ndarray], told: int) -> None:
    service = Service(folder, audit=Audit(log))
    for at in range(0, len(fields["logits"]) - STEP, STEP):
        service.of_values(part(fields, at, at + STEP))
        os.write(told, b".")
        time.sleep(0.0005)


def killed(folder: Path, log: Path, kills: int) -> None:
    """Start a service, kill it in its work, look at what is left; again and again."""
    torch.set_num_threads(1)
    fields, bundle = stream(40_000), Bundle.load(folder)
    rng = np.random.default_rng(0)
    at, counted, kept = 0, 0.0, []
    for _ in range(kills):
        own, others = os.pipe()
        if (child := os.fork()) == 0:
            os.close(own)
            serve_until_killed(folder, log, part(fields, at, len(fields["logits"])), others)
            os._exit(0)
        os.close(others)
        asked = int(rng.integers(1, 40))
        answered = sum(len(os.read(own, 1)) for _ in range(asked))
        time.sleep(float(rng.random()) * 0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(own, 1000):
            answered += len(more)
        os.close(own)
        watch = resumed(bundle.monitor(), log / "monitor.safetensors", bundle.manifest.digest)
        total = watch.items + (watch.open.items if watch.open else 0)
        gained = int(total - counted)
        assert -STEP <= STEP * answered - gained < watch.block + STEP, (answered, gained)
        kept.append((at, at + gained))
        at, counted = at + max(STEP * answered, gained) + STEP, total
        del watch
    rest = np.concatenate([np.arange(start, stop) for start, stop in kept])
    assert len(rest) == len(set(rest.tolist())) == counted
    scores = bundle.score(None, **fields).score
    offline = bundle.monitor().update(scores[rest])
    found = resumed(bundle.monitor(), log / "monitor.safetensors", bundle.manifest.digest)
    for name, value in offline.state().items():
        np.testing.assert_allclose(found.state()[name], value, rtol=1e-9, atol=1e-9)
    table = answers(log)
    assert not table.select("run", "row").is_duplicated().any()
    written = table.group_by("run", maintain_order=True).agg(pl.len(), pl.col("row").max())
    assert (written["len"] == written["row"] + 1).all()
    print(f"{counted:.0f} counted, {table.height} in the log")


def test_kill_9_loses_less_than_a_block_and_counts_nothing_twice(folder: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.unit.test_guard_audit import killed; "
        f"killed(Path({str(folder)!r}), Path({str(tmp_path / 'log')!r}), {KILLS})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "counted" in done.stdout
