"""The guard around somebody's own application, its roles, and what it tells Prometheus and Grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import JSONResponse, StreamingResponse

from outfield.errors import UserError
from outfield.guard.accuracy import AccuracyEstimates
from outfield.guard.audit import Audit
from outfield.guard.bundle import Bundle
from outfield.guard.metrics import grafana
from outfield.guard.middleware import GuardMiddleware
from outfield.guard.service import Limits, Service, app_of
from outfield.types import Estimate
from tests.unit.test_guard_audit import folder, part, stream

assert folder  # a fixture


@pytest.fixture
def service(folder: Path, tmp_path: Path) -> Iterator[Service]:
    made = Service(folder, limits=Limits(bytes=10_000), audit=Audit(tmp_path / "log"))
    yield made
    made.close()


def own_app(service: Service, **options: Any) -> TestClient:
    """An application that knows nothing of guards but where it puts its logits and features."""
    app = FastAPI()

    @app.get("/answer/{shift}")
    async def answer(shift: float, request: Request) -> dict[str, float]:
        request.state.outfield = {name: one[0] for name, one in stream(1, shift=shift).items()}
        return {"answer": shift}

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    @app.get("/wrong")
    async def wrong(request: Request) -> str:
        request.state.outfield = {"logits": [[1.0, 2.0]]}
        return "wrong"

    @app.get("/body")
    async def body() -> JSONResponse:
        return JSONResponse({name: one.tolist() for name, one in part(stream(3), 0, 2).items()})

    @app.get("/long")
    async def long() -> StreamingResponse:
        return StreamingResponse(b"x" * 1_000 for _ in range(50))

    app.add_middleware(GuardMiddleware, service=service, **options)
    app.mount("/guard", app_of(service))
    return TestClient(app)


def test_answers_bear_the_verdict_of_the_bundle(service: Service, folder: Path) -> None:
    client = own_app(service)
    bundle = Bundle.load(folder)
    known = client.get("/answer/0")
    expected = bundle.score(None, **stream(1))
    assert known.json() == {"answer": 0.0}
    assert known.headers["outfield-verdict"] == expected.verdict[0] == "id"
    assert float(known.headers["outfield-score"]) == expected.score[0]
    assert float(known.headers["outfield-p"]) == expected.p[0]
    assert known.headers["outfield-digest"] == bundle.manifest.digest
    assert re.fullmatch(r"[0-9a-f]{12}-0", known.headers["outfield-answer"])
    strange = client.get("/answer/9")
    assert (strange.status_code, strange.headers["outfield-verdict"]) == (200, "ood")
    assert "outfield-verdict" not in client.get("/plain").headers
    assert client.get("/guard/monitor").json()["items"] == 0
    assert 'verdict="ood"' in client.get("/guard/metrics").text


def test_blocked_verdicts_do_not_reach_the_client(service: Service) -> None:
    client = own_app(service, block=["ood"])
    held = client.get("/answer/9")
    assert held.status_code == 422
    assert held.headers["outfield-verdict"] == "ood"
    assert "answer" not in held.json() or held.json()["answer"] != 9
    assert client.get("/answer/0").json() == {"answer": 0.0}
    assert client.get("/wrong").status_code == 200


def test_what_cannot_be_scored_passes_or_is_blocked_as_configured(service: Service) -> None:
    passed = own_app(service).get("/wrong")
    assert (passed.status_code, passed.headers["outfield-verdict"]) == (200, "no verdict")
    assert "width" in passed.headers["outfield-reason"]
    assert own_app(service, block=["no verdict"]).get("/wrong").status_code == 422
    with pytest.raises(UserError, match="Expected to block"):
        GuardMiddleware(FastAPI(), service, block=["maybe"])


def test_values_from_the_body_and_long_answers(service: Service) -> None:
    sizes: list[int] = []

    def values(scope: Any, body: bytes) -> Any:
        sizes.append(len(body))
        return json.loads(body) if scope["path"] == "/body" else None

    client = own_app(service, values=values)
    assert client.get("/body").headers["outfield-verdict"].split(",") == ["id", "id"]
    assert client.get("/long").content == b"x" * 50_000
    assert 10_000 < sizes[-1] <= 12_000
    assert len(own_app(service).get("/long").content) == 50_000


def test_a_full_queue_is_no_verdict(service: Service) -> None:
    service.waiting = service.limits.waiting
    assert own_app(service).get("/answer/0").headers["outfield-verdict"] == "no verdict"
    service.waiting = 0


def test_roles(service: Service) -> None:
    client = TestClient(app_of(service, "the token of those who score", "the token of those who run"))
    scoring, running = ({"Authorization": f"Bearer the token of those who {do}"} for do in ("score", "run"))
    values = {name: one.tolist() for name, one in stream(1).items()}
    for path in ("/bundle", "/metrics", "/monitor"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=running).status_code == 200
    assert client.get("/bundle", headers=scoring).status_code == 401
    assert client.post("/reload", headers=scoring).status_code == 401
    assert client.post("/reload", headers=running).status_code == 200
    assert client.post("/score", headers=scoring, json=values).status_code == 200
    assert client.post("/score", headers=running, json=values).status_code == 200
    alone = TestClient(app_of(service, None, "the token of those who run"))
    assert alone.post("/score", json=values).status_code == 200
    assert alone.post("/reload").status_code == 401


def test_metrics_have_the_names_that_prometheus_asks_for(service: Service) -> None:
    client = own_app(service)
    client.get("/answer/0")
    families = list(text_string_to_metric_families(client.get("/guard/metrics").text))
    own = [one for one in families if not one.name.endswith("_created")]
    assert len(own) > 10
    for one in own:
        assert re.fullmatch(r"outfield_[a-z_]+", one.name)
        assert one.documentation
        for sample in one.samples:
            assert one.type != "counter" or sample.name.endswith("_total"), sample.name
    by_name = {one.name: one for one in own}
    assert by_name["outfield_request_seconds"].type == "histogram"
    for name in ("outfield_inputs", "outfield_threshold", "outfield_p"):
        assert {"version", "detector"} <= set(by_name[name].samples[0].labels), name
    rungs = {s.labels["rung"] for s in by_name["outfield_flags_ratio"].samples}
    assert "0.05" in rungs


def test_the_grafana_dashboard_asks_for_metrics_and_labels_that_there_are(service: Service) -> None:
    client = own_app(service)
    client.get("/answer/0")
    client.get("/guard/monitor")
    service.counts.estimated(
        AccuracyEstimates({"average_confidence": Estimate(0.9, 0.8, 1.0, 9)}, Estimate(0.9), "", 0)
    )
    families = text_string_to_metric_families(client.get("/guard/metrics").text)
    known: dict[str, set[str]] = {}
    for sample in (sample for one in families for sample in one.samples):
        known.setdefault(sample.name, set()).update(sample.labels)
    board = json.loads(grafana())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(asked) > 8
    names = {name for one in asked for name in re.findall(r"outfield_\w+", one)}
    assert names <= known.keys()
    for one in asked:
        for name, labels in re.findall(r"(outfield_\w+)\{([^}]*)\}", one):
            assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= known[name], one
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
