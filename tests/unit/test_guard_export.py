"""A bundle as one ONNX graph: it decides as Python does, on batches of any size, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import outfield
from outfield import registry
from outfield.data.sampling import sample
from outfield.data.views import subset
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.guard.build import build
from outfield.guard.bundle import Bundle
from outfield.guard.export import export, with_facts
from outfield.guard.onnx_backend import ENTRY, OnnxGuard, facts_of, pattern
from outfield.models.networks._weight_names import under_own_names
from outfield.models.open import open_model
from outfield.models.torch import load_into, load_weights
from tests.integration.test_cli import typed
from tests.reference import realdata
from tests.reference.test_published_weights import IMAGENET, pictures
from tests.unit.test_guard_bundle import VALUES, bundle_of, network, rows

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def mixed() -> np.ndarray:
    """777 inputs, the last 77 far out."""
    return np.concatenate([rows(2)[0][:700], rows(3)[0][:77] - 9]).astype(np.float32)


@pytest.fixture(scope="module")
def made(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(net, tmp_path_factory.mktemp("vim"))


@pytest.fixture(scope="module")
def guard(net: nn.Module, made: Bundle) -> OnnxGuard:
    return OnnxGuard(export(made, net, rows(4)[0]).content)


@pytest.mark.parametrize("detector", VALUES)
def test_every_value_detector_decides_as_in_python_one_by_one_and_together(
    net: nn.Module, mixed: np.ndarray, tmp_path: Path, detector: str
) -> None:
    try:
        bundle = bundle_of(net, tmp_path, detector=detector)
    except UserError as error:
        assert "Choose another" in str(error)  # noqa: PT017  # it has no such thing to score
        return
    graph = export(bundle, net, rows(4)[0])
    assert (graph.compared, graph.changed) == (256, 0)
    assert graph.largest < 1e-4
    found, expected = OnnxGuard(graph.content)(mixed), outfield.guard(net, bundle)(mixed)
    np.testing.assert_array_equal(found.verdict, expected.verdict)
    np.testing.assert_array_equal(found.p, expected.p)
    np.testing.assert_array_equal(found.prediction, expected.prediction)
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-4 * bundle.spread)
    for row in (0, 400, 776):
        one = OnnxGuard(graph.content)(mixed[row : row + 1])
        assert one.score[0] == pytest.approx(found.score[row], rel=0, abs=1e-5 * bundle.spread)
        assert (one.verdict[0], one.p[0]) == (found.verdict[row], found.p[row])


def test_thresholds_are_in_the_graph_to_the_last_bit(made: Bundle, guard: OnnxGuard) -> None:
    assert guard.threshold == made.threshold
    np.testing.assert_array_equal(guard.ladder.values, made.ladder.values)
    np.testing.assert_array_equal(guard.monitor(mirror=True).ladder.values, made.state["mirror"].numpy())
    assert guard.manifest == made.manifest


def test_the_detector_alone_reads_logits_and_features(net: nn.Module, mixed: np.ndarray, made: Bundle) -> None:
    alone = OnnxGuard(export(made).content)
    with torch.no_grad():
        features = net[:2](torch.from_numpy(mixed))
        logits = net[2](features)
    found = alone.score(logits=logits.numpy(), features=features.numpy())
    expected = made.score(logits=logits, features=features)
    np.testing.assert_array_equal(found.verdict, expected.verdict)
    np.testing.assert_array_equal(found.p, expected.p)
    with pytest.raises(UserError, match="there is no features"):
        alone.score(logits=logits.numpy())
    with pytest.raises(UserError, match="this graph holds no model"):
        alone(mixed)
    with pytest.raises(UserError, match="as many rows of each"):
        alone.score(logits=logits.numpy()[:3], features=features.numpy())


def test_a_model_of_another_framework_exports_its_detector_alone(tmp_path: Path) -> None:
    x, y = rows(0)
    fitted = LogisticRegression().fit(x, y)
    bundle = bundle_of(fitted, tmp_path, detector="energy")
    with pytest.raises(UserError, match="Export without a model"):
        export(bundle, fitted, x[:20])
    logits = open_model(fitted, example=x[:2]).forward(torch.from_numpy(rows(2)[0])).logits
    found, expected = OnnxGuard(export(bundle).content).score(logits=logits.numpy()), bundle.score(logits=logits)
    np.testing.assert_array_equal(found.verdict, expected.verdict)


def test_thresholds_by_class_decide_as_in_python(net: nn.Module, mixed: np.ndarray, tmp_path: Path) -> None:
    bundle = bundle_of(net, tmp_path, detector="mds", per_class=True)
    limits = bundle.state["classes"].numpy()
    assert len(set(limits)) == 3
    found, expected = OnnxGuard(export(bundle, net, rows(4)[0]).content)(mixed), outfield.guard(net, bundle)(mixed)
    np.testing.assert_array_equal(found.verdict, expected.verdict)
    assert (expected.verdict != np.where(expected.score > bundle.threshold, "ood", "id")).any()


def test_a_network_of_pictures_with_names_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(8, 3)).eval()  # fmt: skip
    pictures = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 3), dtype=np.uint8)
    given = {"fit": (pictures[:200], np.arange(200) % 3), "calibrate": pictures[200:400], "detector": "vim"}
    bundle = build(net, **given, classes=["a", "b", "c"], cache=Cache(tmp_path / "cache"))
    graph = OnnxGuard(export(bundle, net, pictures[:9], classes=["a", "b", "c"]).content)
    expected = outfield.guard(net, bundle, classes=["a", "b", "c"])(pictures[400:])
    found = graph((pictures[400:].transpose(0, 3, 1, 2) / 255).astype(np.float32))
    np.testing.assert_array_equal(found.verdict, expected.verdict)
    np.testing.assert_array_equal(found.prediction, expected.prediction)
    with pytest.raises(UserError, match=r"shape \[n, 3, 8, 8\], but got \[100, 8, 8, 3\].*Pictures\(\)"):
        graph(pictures[400:])


# --- what comes in ---


def test_rows_that_are_not_finite_have_no_verdict(net: nn.Module, mixed: np.ndarray, guard: OnnxGuard) -> None:
    spoilt = mixed[:5].copy()
    spoilt[1, 2], spoilt[3, 0] = np.nan, np.inf
    found = guard(spoilt)
    assert found.verdict[[1, 3]].tolist() == ["no verdict"] * 2
    assert np.isnan(found.p[[1, 3]]).all()
    np.testing.assert_array_equal(found.score[[0, 2, 4]], guard(mixed[[0, 2, 4]]).score)


def test_half_precision_is_widened(mixed: np.ndarray, guard: OnnxGuard) -> None:
    half = mixed.astype(np.float16)
    np.testing.assert_array_equal(guard(half).score, guard(half.astype(np.float32)).score)


def test_other_shapes_and_none_are_refused(mixed: np.ndarray, guard: OnnxGuard) -> None:
    for values, said in (
        (mixed[:, :5], r"shape \[n, 6\], but got \[777, 5\]"),
        (mixed[0], r"but got \[6\]"),
        (mixed[:0], "got none"),
        (np.array([["a"] * 6]), "Expected numbers"),
    ):
        with pytest.raises(UserError, match=said):
            guard(values)
    with pytest.raises(UserError, match="this graph holds the model"):
        guard.score(logits=mixed)


def test_another_model_is_not_exported(made: Bundle) -> None:
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0] += 1
    with pytest.raises(UserError, match="other weights or preprocessing"):
        export(made, other, rows(4)[0])
    with pytest.raises(UserError, match="Pass data"):
        export(made, other)


class Whole(nn.Module):
    """Its answer to a row depends on the batch, which its trace does not show."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.first, self.last = net[:2], net[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x) * (1.0 if len(x) > 50 else 0.5))


def test_a_graph_that_answers_otherwise_is_refused(net: nn.Module, tmp_path: Path) -> None:
    model = Whole(net).eval()
    with pytest.raises(UserError, match="scores as Python does"):
        export(bundle_of(model, tmp_path, detector="energy"), model, rows(4)[0])


# --- the file ---


def test_a_bundle_holds_the_graph_and_its_digest(
    net: nn.Module, made: Bundle, mixed: np.ndarray, tmp_path: Path
) -> None:
    whole = made.with_onnx(export(made, net, rows(4)[0]).content)
    assert whole.manifest.digest != made.manifest.digest
    folder = whole.save(tmp_path / "a.guard")
    assert Bundle.load(folder).manifest == whole.manifest
    served = OnnxGuard.load(folder)
    assert served.manifest.digest == OnnxGuard.load(folder / "model.onnx").manifest.digest == whole.manifest.digest
    assert set(served(mixed[700:]).verdict) == {"ood"}
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    for load, path in ((Bundle.load, folder), (OnnxGuard.load, folder), (OnnxGuard.load, folder / "model.onnx")):
        with pytest.raises(UserError, match="not as it was written"):
            load(path)
    (folder / "model.onnx").unlink()
    with pytest.raises(UserError, match="no model.onnx"):
        Bundle.load(folder)


def test_no_other_file_is_taken_for_a_guard(net: nn.Module, made: Bundle, guard: OnnxGuard, tmp_path: Path) -> None:
    import onnx

    content = export(made, net, rows(4)[0]).content
    facts = facts_of(content, {one.key: one.value for one in onnx.load_from_string(content).metadata_props}[ENTRY])
    graph = content[: facts.size]
    for change, said in (
        ({"scores": facts.scores + 1}, "known inputs"),
        ({"manifest": facts.manifest.model_copy(update={"limits": []})}, "digest is another"),
        ({"shapes": {"other": [4, 6]}}, "outfield guard export"),
    ):
        with pytest.raises(UserError, match=said):
            OnnxGuard(with_facts(graph, replace(facts, **change)))
    for other in (content.replace(facts.threshold.hex().encode(), (1.5).hex().encode().ljust(20)), content + graph):
        with pytest.raises(UserError, match="not as it was written|cannot be read"):
            OnnxGuard(other)
    (tmp_path / "x.onnx").write_bytes(graph)
    with pytest.raises(UserError, match="outfield guard export"):
        OnnxGuard.load(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        OnnxGuard.load(tmp_path / "x.onnx")
    with pytest.raises(UserError, match="there is none"):
        OnnxGuard.load(tmp_path / "y.onnx")
    with pytest.raises(UserError, match="holds none"):
        OnnxGuard.load(made.save(tmp_path / "b.guard"))


def test_no_damaged_graph_is_loaded(made: Bundle) -> None:
    content, rng = export(made).content, np.random.default_rng(int(os.environ.get("OUTFIELD_FUZZ_SEED", "0")))
    for number in range(int(os.environ.get("OUTFIELD_FUZZ", "200"))):
        damaged, at = bytearray(content), int(rng.integers(len(content)))
        if number % 3 == 0:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            del damaged[at:]
        else:
            damaged[at : at + 20] = rng.bytes(len(damaged[at : at + 20]))
        with pytest.raises(UserError):
            OnnxGuard(bytes(damaged))


def test_known_inputs_are_the_same_everywhere() -> None:
    assert pattern((3,)).tolist() == pytest.approx([-1.0, 0.2360679, -0.5278641])
    assert pattern((4,), np.int64).tolist() == [0, 1, 0, 1]


# --- without torch ---


NO_TORCH = """
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
"""


def without_torch(program: str, *words: Any) -> str:
    """What a program prints; it fails where it imports torch."""
    code = f"import sys\n{NO_TORCH}\n{program}\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_graph_is_served_without_torch(net: nn.Module, made: Bundle, mixed: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", mixed)
    (tmp_path / "a.onnx").write_bytes(export(made, net, rows(4)[0]).content)
    said = without_torch(
        "import numpy as np; from outfield.guard.onnx_backend import OnnxGuard\n"
        "guard = OnnxGuard.load(sys.argv[1]); found = guard(np.load(sys.argv[2]))\n"
        "watch = guard.monitor(); watch.update(found.score); print(watch.items, *found.verdict)",
        tmp_path / "a.onnx", tmp_path / "x.npy",
    ).split()  # fmt: skip
    assert said[1:] == outfield.guard(net, made)(mixed).verdict.tolist()


def test_the_service_answers_from_a_graph_without_torch(
    net: nn.Module, made: Bundle, mixed: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("fastapi")
    np.save(tmp_path / "x.npy", mixed[690:710])
    (tmp_path / "a.onnx").write_bytes(export(made, net, rows(4)[0]).content)
    said = without_torch(
        "import asyncio, json, httpx2 as httpx, numpy as np\n"
        "from outfield.guard.service import Service, app_of\n"
        "service = Service(sys.argv[1]); x = np.load(sys.argv[2]).tolist()\n"
        "async def main():\n"
        "    door = httpx.ASGITransport(app=app_of(service))\n"
        "    async with httpx.AsyncClient(transport=door, base_url='http://a') as client:\n"
        "        good = (await client.post('/score', json={'inputs': x})).json()\n"
        "        bad = (await client.post('/score', json={'inputs': [[1.0]]})).status_code\n"
        "        print(json.dumps([good, bad, (await client.post('/reload')).json()]))\n"
        "asyncio.run(main()); service.close()",
        tmp_path / "a.onnx", tmp_path / "x.npy",
    )  # fmt: skip
    good, bad, again = json.loads(said)
    assert good["verdict"] == outfield.guard(net, made)(mixed[690:710]).verdict.tolist()
    assert (bad, again["digest"], good["digest"]) == (400, made.manifest.digest, made.manifest.digest)


# --- the command ---


def test_command_line_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: Bundle
) -> None:
    monkeypatch.chdir(tmp_path)
    made.save("a.guard")
    np.save("some.npy", rows(4)[0])
    Path("net.py").write_text("from tests.unit.test_guard_bundle import network\n")
    words = ("guard", "export", "a.guard", "--model", "net.py:network", "--data", "some.npy")
    assert typed(*words, "--onnx", "a.onnx", "-o", "b.guard") == 0
    said = capsys.readouterr().out
    assert "Compared with Python on 256 inputs: 0 decisions differ" in said
    assert OnnxGuard.load("a.onnx").manifest.digest == made.manifest.digest
    assert Bundle.load("b.guard").onnx == Path("a.onnx").read_bytes()
    assert typed("guard", "check", "b.guard") == 0
    assert typed(*words) == 2
    assert typed(*words, "--onnx", "a.txt") == 2
    assert typed("guard", "export", "a.guard", "--onnx", "c.onnx") == 0


def test_the_command_that_serves_a_graph_imports_no_torch(made: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (tmp_path / "a.onnx").write_bytes(export(made).content)
    said = without_torch(
        "import outfield.dashboard.server as server\n"
        "from outfield.cli import main\n"
        "server.run = lambda app, door, started: started()\n"
        "sys.argv = ['outfield', 'guard', 'serve', sys.argv[1], '--port', '0']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code",
        tmp_path / "a.onnx",
    )
    assert "Guard: http://127.0.0.1:" in said


# --- a published network on real pictures ---


@pytest.mark.parametrize("detector", ["energy", "vim"])
def test_a_published_network_has_equal_rungs_on_300_pictures(tmp_path: Path, detector: str) -> None:
    root = realdata.root("weights/cifar10/resnet20-12fca82f.th", "vision/cifar10_test.zip")
    network = registry.create("networks", "resnet_cifar", classes=10, depth=20)
    load_into(network, under_own_names(network, load_weights(root / "weights/cifar10/resnet20-12fca82f.th"))).eval()
    drawn = sample(pictures(root, "cifar10_test"), 1100)
    fit, calibrate, new = (subset(drawn, np.arange(*ends)) for ends in ((0, 400), (400, 800), (800, 1100)))
    model = open_model(network, example=drawn.read(slice(0, 2)), preprocess=IMAGENET)
    bundle = build(model, fit=fit, calibrate=calibrate, detector=detector, cache=Cache(tmp_path / "cache"))
    graph = OnnxGuard(export(bundle, model, new).content)
    expected = outfield.guard(model, bundle)(new)
    prepared = IMAGENET(new.read(slice(0, 300))).numpy()
    noise = np.random.default_rng(0).normal(size=(20, *prepared.shape[1:])).astype(np.float32)
    found = graph(prepared)
    np.testing.assert_array_equal(found.p, expected.p)
    np.testing.assert_array_equal(found.verdict, expected.verdict)
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-4 * bundle.spread)
    single = np.concatenate([graph(row[None]).score for row in noise])
    np.testing.assert_allclose(single, graph(noise).score, rtol=0, atol=1e-4 * bundle.spread)
