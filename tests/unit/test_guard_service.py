"""The guard over HTTP: the same answers as in Python, limits, reload, metrics."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

import outfield
from outfield.guard.bundle import Bundle
from outfield.guard.service import Limits, Service, _array, app_of
from outfield.models.open import open_model
from tests.unit.test_guard_bundle import bundle_of, network, rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    return bundle_of(network(), place).save(place / "a.guard")


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    made = Service(folder, network(), limits=Limits(bytes=200_000, items=50, waiting=2, seconds=20))
    yield made
    made.close()


@pytest.fixture
def client(service: Service) -> TestClient:
    return TestClient(app_of(service), raise_server_exceptions=True)


def test_answers_are_those_of_python(client: TestClient, folder: Path) -> None:
    x = np.concatenate([rows(2)[0][:20], rows(3)[0][:10] - 9])
    expected = outfield.guard(network(), folder)(x)
    net = network()
    values = {"features": net[:2](torch.from_numpy(x)).tolist(), "logits": net(torch.from_numpy(x)).tolist()}
    by_inputs = client.post("/score", json={"inputs": x.tolist()}).json()
    by_values = client.post("/score", json=values).json()
    assert by_inputs["verdict"] == by_values["verdict"] == expected.verdict.tolist()
    np.testing.assert_allclose(by_inputs["score"], expected.score, atol=1e-6)
    assert by_inputs["prediction"] == expected.prediction.tolist()
    tensor = {"name": "inputs", "shape": [30, 6], "datatype": "FP32", "data": x.ravel().tolist()}
    answer = client.post("/v2/models/model/infer", json={"id": "7", "inputs": [tensor]}).json()
    assert (answer["id"], answer["model_version"]) == ("7", by_inputs["digest"])
    by_name = {one["name"]: one for one in answer["outputs"]}
    assert by_name["verdict"]["data"] == expected.verdict.tolist()
    assert by_name["score"]["shape"] == [30]
    assert client.get("/v2/models/model").json()["versions"] == [by_inputs["digest"]]


def test_one_input_and_missing_scores(client: TestClient) -> None:
    nothing = {"features": [[float("nan")] * 16], "logits": [[0.0] * 3]}
    said = client.post("/score", content=str(nothing).replace("'", '"').replace("nan", "NaN")).json()
    assert said["verdict"] == ["no verdict"]
    assert said["score"] == [None]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/score", "{", 400, "cannot be read"),
        ("/score", "[1]", 400, "JSON object"),
        ("/score", "{}", 400, "or inputs in the request"),
        ("/score", '{"inputs": "x"}', 400, "lists of numbers"),
        ("/score", '{"inputs": [[1, 2], [3]]}', 400, "rows of equal length"),
        ("/score", '{"inputs": []}', 400, "1 to 50 inputs"),
        ("/score", '{"inputs": ' + "[" * 500 + "1" + "]" * 500 + "}", 400, "deep"),
        ("/score", "[" * 90_000, 400, "cannot be read"),
        ("/score", '{"inputs": [' + ", ".join(["[0, 0, 0, 0, 0, 0]"] * 51) + "]}", 400, "1 to 50 inputs, but got 51"),
        ("/score", '{"logits": [[1, 2]], "features": [[1]]}', 400, "width"),
        ("/score", '{"inputs": [[1, 2, 3]]}', 400, ""),
        ("/score", "", 400, "cannot be read"),
        ("/score", '{"inputs": [[]]}', 400, ""),
        ("/score", '{"inputs": "' + "x" * 250_000 + '"}', 413, "at most 200,000 bytes"),
        ("/v2/models/model/infer", "{}", 400, "list of tensors"),
        ("/v2/models/model/infer", '{"inputs": [{"name": "inputs", "datatype": "BF16"}]}', 400, "datatype"),
        (
            "/v2/models/model/infer",
            '{"inputs": [{"name": "inputs", "datatype": "FP32", "shape": [2, 6], "data": [1, 2]}]}',
            400,
            "12 numbers",
        ),
        (
            "/v2/models/model/infer",
            '{"inputs": [{"name": "evil", "datatype": "FP32", "shape": [1], "data": [1]}]}',
            400,
            "Rename it",
        ),
    ],
)
def test_requests_that_cannot_be_answered_say_why(
    client: TestClient, path: str, body: str, status: int, text: str
) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]


@pytest.mark.parametrize(("kind", "dtype"), [("FP16", np.float16), ("FP32", np.float32), ("FP64", np.float64)])
def test_numbers_of_every_width_are_read(client: TestClient, kind: str, dtype: type) -> None:
    """Half precision is what was sent: its scores are those of the rounded inputs."""
    x = rows(2)[0][:20].astype(dtype)
    tensor = {"name": "inputs", "shape": [20, 6], "datatype": kind, "data": x.ravel().tolist()}
    outputs = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"]
    found = next(one["data"] for one in outputs if one["name"] == "score")
    expected = client.post("/score", json={"inputs": x.astype(np.float32).tolist()}).json()["score"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_decompression_bomb_is_not_unpacked(client: TestClient) -> None:
    bomb = gzip.compress(b'{"inputs": [' + b" " * 50_000_000 + b"]}")
    assert len(bomb) < 100_000
    for headers in ({"Content-Encoding": "gzip"}, {}):
        answer = client.post("/score", content=bomb, headers=headers)
        assert answer.status_code == 400
        assert "cannot be read" in answer.json()["error"]


def test_without_the_token_nothing_but_health_answers(service: Service) -> None:
    client = TestClient(app_of(service, "a secret of the house"))
    for method, path in (
        ("POST", "/score"), ("POST", "/v2/models/model/infer"), ("POST", "/feedback"), ("POST", "/reload"),
        ("GET", "/bundle"), ("GET", "/monitor"), ("GET", "/metrics"), ("GET", "/v2/models/model"),
    ):  # fmt: skip
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer another secret"}):
            assert client.request(method, path, headers=headers).status_code == 401, path


def test_a_full_queue_is_told_at_once_and_recovers(service: Service, client: TestClient) -> None:
    blocked, free = threading.Event(), threading.Event()

    def work() -> None:
        blocked.set()
        free.wait(20)

    service._worker.submit(work)
    blocked.wait(5)
    x = {"inputs": rows(2)[0][:1].tolist()}
    answers: list[int] = []
    asking = [
        threading.Thread(target=lambda: answers.append(client.post("/score", json=x).status_code)) for _ in range(5)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join(1)
    assert answers.count(429) == 3
    free.set()
    for one in asking:
        one.join(20)
    assert sorted(answers) == [200, 200, 429, 429, 429]
    assert client.post("/score", json=x).status_code == 200
    assert service.waiting == 0


def test_reload_swaps_a_whole_bundle_and_keeps_the_old_one_where_the_new_is_damaged(tmp_path: Path) -> None:
    folder = bundle_of(network(), tmp_path).save(tmp_path / "r.guard")
    service = Service(folder, network())
    client = TestClient(app_of(service))
    first = client.get("/bundle").json()["digest"]
    (folder / "state.safetensors").write_bytes(b"damaged")
    refused = client.post("/reload")
    assert (refused.status_code, client.get("/bundle").json()["digest"]) == (400, first)
    assert "not as it was written" in refused.json()["error"]
    bundle_of(network(), tmp_path, alpha=0.1).save(folder)
    assert client.post("/reload").json()["digest"] != first
    assert client.post("/score", json={"inputs": rows(2)[0][:3].tolist()}).json()["digest"] != first
    service.close()
    assert client.get("/readyz").status_code == 503
    assert client.post("/score", json={"inputs": rows(2)[0][:3].tolist()}).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_token_is_asked_for_but_not_of_health(service: Service) -> None:
    client = TestClient(app_of(service, "a secret of the house"))
    assert client.get("/healthz").status_code == 200
    assert client.get("/bundle").status_code == 401
    assert client.post("/reload", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/bundle", headers={"Authorization": "Bearer a secret of the house"}).status_code == 200


def test_monitor_and_metrics_tell_of_the_stream(client: TestClient) -> None:
    for start in range(0, 600, 50):
        client.post("/score", json={"inputs": rows(2)[0][start : start + 50].tolist()})
    assert client.get("/monitor").json()["alarm"] is False
    for start in range(0, 300, 50):
        client.post("/score", json={"inputs": (rows(3)[0][start : start + 50] - 9).tolist()})
    watch = client.get("/monitor").json()
    assert watch["alarm"] is True
    assert 600 < watch["alarmed_at"] <= 700
    text = client.get("/metrics").text
    assert 'outfield_inputs_total{detector="vim",verdict="ood"' in text
    assert "outfield_alarm 1.0" in text
    assert 'detector="vim"' in text


def test_a_service_without_a_model_takes_values_alone(folder: Path) -> None:
    service = Service(folder)
    client = TestClient(app_of(service))
    assert "has no model" in client.post("/score", json={"inputs": [[0.0] * 6]}).json()["error"]
    given = {"features": [[0.0] * 16], "logits": [[0.0] * 3]}
    assert client.post("/score", json=given).json()["verdict"][0] in ("id", "ood")
    assert Bundle.load(folder).manifest.digest == client.get("/bundle").json()["digest"]
    service.close()


def until(client: TestClient, status: int) -> dict[str, object]:
    """What readiness says once it has a status."""
    for _ in range(500):
        if (answer := client.get("/readyz")).status_code == status:
            return dict(answer.json())
        time.sleep(0.02)
    raise AssertionError(answer.json())


def test_the_model_is_opened_at_the_start_and_the_service_is_not_ready_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, opened = threading.Event(), []

    def slow(*given: object, **options: object) -> object:
        may.wait(20)
        opened.append(given)
        return open_model(*given, **options)

    monkeypatch.setattr("outfield.guard.guarded.open_model", slow)
    service = Service(folder, network())
    client = TestClient(app_of(service))
    assert client.get("/healthz").status_code == 200
    assert until(client, 503) == {"ready": False, "why": "The model is being opened."}
    may.set()
    assert until(client, 200) == {"ready": True}
    assert client.post("/score", json={"inputs": rows(2)[0][:3].tolist()}).status_code == 200
    assert len(opened) == 1
    assert client.post("/reload").status_code == 200
    assert len(opened) == 2
    assert until(client, 200)
    service.close()
    assert until(client, 503) == {"ready": False, "why": "It is shutting down."}


def test_a_model_that_cannot_be_opened_is_told_by_readiness(folder: Path) -> None:
    torch.manual_seed(5)
    other = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    service = Service(folder, other)
    client = TestClient(app_of(service))
    said = str(client.post("/score", json={"inputs": rows(2)[0][:3].tolist()}).json()["error"])
    assert "other weights" in said
    assert until(client, 503)["why"] == said
    service.close()


def test_pictures_of_whole_numbers_are_bytes() -> None:
    picture = np.arange(48).reshape(1, 4, 4, 3)
    assert _array(picture.tolist(), "inputs", Limits()).dtype == np.uint8
    for other in (picture / 255, picture * 9, -picture):
        assert _array(other.tolist(), "inputs", Limits()).dtype == np.float32
    assert _array([[1, 2]], "inputs", Limits()).dtype == np.float32
    assert _array(picture.tolist(), "features", Limits()).dtype == np.float32
