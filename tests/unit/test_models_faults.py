"""What users get wrong about models is told with the way out; nothing unsafe is loaded."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from outfield.data.datasets import ArrayDataset
from outfield.errors import MissingExtra, UserError
from outfield.features.cache import Cache
from outfield.features.extract import extract
from outfield.models import libraries
from outfield.models.open import open_model
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel, load_into, load_weights, logits_of
from outfield.registry import create
from tests.contracts.frameworks import bert, exported, table, texts, tokenizer, transformers, vision

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks, when they are imported
GREY = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
COLOUR = np.repeat(GREY, 3, axis=3)


def network(**options: Any) -> nn.Module:
    return create("networks", "small_cnn", **{"classes": 3, "channels": 3, "width": 4, **options})


class Command:
    """What would run when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("was-here",)


def torch_file(path: Path, content: Any) -> None:
    torch.save(content, path)


def plain_pickle(path: Path, content: Any) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("write", [torch_file, plain_pickle])
def test_a_pickle_that_runs_code_is_refused(
    write: Callable[[Path, Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "weights.pt", {"weight": Command()})
    with pytest.raises(UserError, match="can run any code.*safetensors.torch.save_file"):
        load_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "was-here").exists()


def test_a_whole_module_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(UserError, match="can run any code"):
        load_weights(tmp_path / "module.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world" * 20])
def test_damaged_weights(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(tmp_path / name)
    with pytest.raises(UserError, match="there is none"):
        load_weights(tmp_path / "absent.pt")


def test_weights_cut_off(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "w.pt")
    whole = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut off"):
        load_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "net", "online_backbone"])
def test_weights_in_a_checkpoint_of_a_wrapped_model(wrapper: str, tmp_path: Path) -> None:
    saved = {f"module.{name}": value for name, value in network().state_dict().items()}
    torch.save({"epoch": 3, wrapper: saved}, tmp_path / "w.pt")
    load_into(network(), load_weights(tmp_path / "w.pt"))
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(UserError, match="got a list"):
        load_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"classes": 4}, r"head.weight, head.bias of another shape"),
        ({"width": 8}, r"and \d+ more of another shape"),
    ],
)
def test_weights_of_another_network(other: dict[str, Any], message: str) -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_into(net, network(**other).state_dict(), "small_cnn")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "nothing half loaded"


def test_missing_and_unknown_weights() -> None:
    weights = dict(network().state_dict())
    weights["neck.weight"] = weights.pop("head.weight")
    with pytest.raises(UserError, match=r"head.weight missing; neck.weight unknown"):
        load_into(network(), weights)


def test_weights_of_an_old_torch_have_no_counters() -> None:
    weights = {name: value + 1 for name, value in network().state_dict().items() if "num_batches" not in name}
    loaded = load_into(network(), weights).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_nan_weights_are_named() -> None:
    net = network()
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"weights head.weight hold such values"):
        TorchModel(net, COLOUR)


@pytest.mark.parametrize(
    ("last", "said"), [(True, "finite head, but the bias .* in 1 of 3 classes"), (False, "finite logits")]
)
def test_weights_that_become_nan_later_are_told_when_extracting(last: bool, said: str, tmp_path: Path) -> None:
    model = TorchModel(network(), COLOUR, name="small")
    with torch.no_grad():
        (model.module.head.bias if last else next(model.module.parameters())).fill_(0).view(-1)[0] = float("inf")
    with pytest.raises(UserError, match=said):
        extract(model, ArrayDataset(COLOUR, labels=[0, 1, 2, 0]), Cache(tmp_path))
    assert not list(tmp_path.glob("*/header.json"))


@pytest.mark.parametrize("empty", [[], COLOUR[:0]])
def test_an_empty_example(empty: Any) -> None:
    with pytest.raises(UserError, match="at least one item"):
        TorchModel(network(), empty)
    with pytest.raises(UserError, match="Expected `example`"):
        open_model(network())


def test_a_grey_picture_for_a_colour_model() -> None:
    with pytest.raises(UserError, match=r"first convolution reads 3 channels: pass preprocess=Pictures\(channels=3\)"):
        TorchModel(network(), GREY)
    model = TorchModel(network(), COLOUR)
    with pytest.raises(UserError, match=r"reads 3 channels"):
        model.forward(model.prepare(GREY))
    assert TorchModel(network(), GREY, preprocess=Pictures(channels=3)).head is not None


def test_one_pixel_and_sixteen_bits() -> None:
    model = TorchModel(network(), COLOUR, preprocess=Pictures(side=16, channels=3))
    pixel = np.full((1, 1), 40000, np.uint16)
    assert model.forward(model.prepare([pixel])).logits.isfinite().all()


def test_a_size_that_the_model_cannot_take() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16 * 16 * 3, 3))
    model = TorchModel(net, COLOUR)
    with pytest.raises(UserError, match="Pass `preprocess`"):
        model.forward(model.prepare(COLOUR[:, :8]))


def test_a_fault_inside_a_model_that_could_run_stays_visible() -> None:
    class Broken(nn.Linear):
        broken = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.broken:
                raise RuntimeError("the model's own")
            return super().forward(x.flatten(1))

    model = TorchModel(Broken(768, 3), COLOUR)
    model.forward(model.prepare(COLOUR))
    model.module.broken = True
    with pytest.raises(RuntimeError, match="the model's own"):
        model.forward(model.prepare(COLOUR))


@pytest.mark.parametrize("output", [torch.zeros(2), torch.zeros(2, 3, 4), torch.zeros(2, 0), {"x": 1}, None, ()])
def test_outputs_without_logits(output: Any) -> None:
    with pytest.raises(UserError, match=r"logits \[n, classes\] of at least 2 classes"):
        logits_of(output)


def test_names_of_classes_belong_to_the_logits() -> None:
    with pytest.raises(UserError, match="names for 3 classes, but got 2"):
        TorchModel(network(), COLOUR, classes=["a", "b"])
    assert TorchModel(network(), COLOUR, classes=["a", "b", "c"]).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("resnet18", "timm:NAME"),
        ("onnx:absent.onnx", "there is none"),
        ("sklearn:absent.skops", "there is none"),
        ("absent.py:make", "there is none"),
        (3, "got a int"),
        (lambda x: x, "got a function"),
    ],
)
def test_what_is_no_model(what: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(what)


WITH_A_DATACLASS = """
from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import nn


@dataclass
class Shape:
    width: int
    _: KW_ONLY
    classes: int = 3


def make() -> nn.Module:
    torch.manual_seed(0)
    shape = Shape(4)
    return nn.Linear(shape.width, shape.classes)
"""


@pytest.mark.parametrize("name", ["a_net_of_mine", "wave"])
def test_a_python_file_may_hold_dataclasses_and_hides_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The second has the name of a module of Python."""
    (tmp_path / f"{name}.py").write_text(WITH_A_DATACLASS, encoding="utf-8")
    monkeypatch.delitem(sys.modules, name, raising=False)
    for _ in range(2):
        assert open_model(f"{tmp_path}/{name}.py:make", example=np.zeros((2, 4), np.float32)).name == "make"
    assert (name in sys.modules) == (name == "a_net_of_mine")
    sys.modules.pop(name, None)
    (tmp_path / f"{name}.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        open_model(f"{tmp_path}/{name}.py:make")
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "no function 'make'|function 'make'"),
        ("def make(:", "SyntaxError"),
        ("def make():\n    return 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
        ("def make():\n    return 'nothing'", "timm:NAME"),
    ],
)
def test_a_python_file_that_makes_no_model(code: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(code)
    with pytest.raises(UserError, match=message):
        open_model(f"{tmp_path / 'net.py'}:make")


def test_an_option_that_the_adapter_does_not_have() -> None:
    with pytest.raises(UserError, match="'trusted'"):
        open_model(network(), example=COLOUR, trusted=["x"])


def test_a_model_stays_itself() -> None:
    model = TorchModel(network(), COLOUR)
    assert open_model(model) is model


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(libraries, "import_module", absent)
    for what, command in {
        "timm:resnet18": r"outfield\[vision\]",
        "hf:bert": r"outfield\[text\]",
        "onnx:x.onnx": r"outfield\[onnx\]",
    }.items():
        with pytest.raises(MissingExtra, match=command):
            open_model(what)


def test_a_library_that_is_broken_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(libraries, "import_module", broken)
    with pytest.raises(UserError, match="torchvision does not fit torch"):
        open_model("timm:resnet18")


# files of weights


@pytest.mark.parametrize("kind", ["own.safetensors", "bare.pt", "lightning.ckpt", "prefixed.pth"])
def test_weights_with_the_network_that_they_belong_to(kind: str, tmp_path: Path) -> None:
    net = network().eval()
    own = {name: value.clone() for name, value in net.state_dict().items()}
    path = tmp_path / kind
    if kind == "own.safetensors":
        save_file(own, path)
    elif kind == "lightning.ckpt":
        under = {f"model.{name}": value for name, value in own.items()} | {"criterion.weight": torch.ones(3)}
        torch.save({"epoch": 3, "state_dict": under, "hyper_parameters": {"lr": 0.1}, "callbacks": {}}, path)
    else:
        torch.save(own if kind == "bare.pt" else {f"module.net.{name}": value for name, value in own.items()}, path)
    expected = TorchModel(net, COLOUR)
    for named in ("small_cnn?classes=3&channels=3&width=4", network()):
        model = open_model(path, network=named, example=COLOUR)
        assert model.name == path.stem
        torch.testing.assert_close(
            model.forward(model.prepare(COLOUR)).logits, expected.forward(expected.prepare(COLOUR)).logits
        )


def test_a_network_that_is_passed_is_left_as_it_was(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    mine = network()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    open_model(tmp_path / "net.pt", network=mine, example=COLOUR)
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())


def test_weights_without_a_network_or_with_another(tmp_path: Path) -> None:
    path = tmp_path / "net.ckpt"
    own = network().state_dict()
    torch.save({"state_dict": own}, path)
    (tmp_path / "make.py").write_text("def make():\n    return 3\n")
    for named, message in (
        (None, r"last matrix 'head.weight' \[3, 16\], alone. Say which: .*--network"),
        ("small_cnn", r"classes of the network 'small_cnn'.*small_cnn\?classes=..."),
        ("small_cnn?classes=4&channels=3&width=4", "others: head.weight, head.bias of another shape"),
        ("small_cnn?classes", "key=value"),
        ("small_cnn?classes=ten", "network that can be made"),
        ("small_cnn?clases=3", "clases"),
        ("smal_cnn?classes=3", "Did you mean 'small_cnn'"),
        (f"{tmp_path / 'make.py'}:make", "returned a int"),
        (3, "got a int"),
        (nn.Sequential(*[nn.Identity()] * 7, nn.Linear(2, 2)), "others: 7.weight, 7.bias missing"),
    ):
        with pytest.raises(UserError, match=message):
            open_model(path, network=named, example=COLOUR)
    with pytest.raises(UserError, match="`example`"):
        open_model(path, network=network())
    twice = {f"{at}.{name}": value for at in ("model", "ema") for name, value in own.items()}
    torch.save(twice, path)
    with pytest.raises(UserError, match="holds 2, under ema., model."):
        open_model(path, network=network(), example=COLOUR)


def test_weights_of_timm_need_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pth")

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(libraries, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"outfield\[vision\]"):
        open_model(tmp_path / "net.pth", network="timm:resnet18?num_classes=10", example=COLOUR)


def test_weights_beside_their_configuration_and_pickles_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = transformers()
    monkeypatch.chdir(tmp_path)
    library.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        architectures=["BertForSequenceClassification"],
    ).save_pretrained(tmp_path)  # fmt: skip
    torch.save({"weight": torch.zeros(2, 2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="config.json beside it: pass the folder"):
        open_model(tmp_path / "pytorch_model.bin")
    torch.save({"weight": Command()}, tmp_path / "pytorch_model.bin")
    for what in (tmp_path / "pytorch_model.bin", f"hf:{tmp_path}"):
        with pytest.raises(UserError, match="run any code|Hugging Face model"):
            open_model(what)
    assert not Path("was-here").exists()


@pytest.mark.parametrize(
    ("what", "message"), [(nn.Linear, "got the class Linear"), ({"weight": torch.zeros(1)}, "such as a state dict")]
)
def test_what_is_nearly_a_model(what: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(what)


# scikit-learn


def test_estimators_that_cannot_be_used(tmp_path: Path) -> None:
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    rows, labels = table().read(slice(None)), table().labels
    with pytest.raises(UserError, match="Call fit"):
        open_model(LogisticRegression())
    with pytest.raises(UserError, match="Expected a fitted regressor"):
        open_model(LinearRegression())
    with pytest.raises(UserError, match="has no classes_"):
        open_model(KMeans(2, n_init=1).fit(rows))
    with pytest.raises(UserError, match="decision_function_shape='ovr'"):
        open_model(SVC(decision_function_shape="ovo").fit(rows, labels))
    pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    with pytest.raises(UserError, match="inputs, standardscaler"):
        open_model(pipe, features="scaler")
    with pytest.raises(UserError, match="rows of 6 numbers"):
        open_model(pipe).prepare(rows[:, :4])
    inputs = open_model(pipe, features="inputs")
    assert inputs.head is None and inputs.offers == {"logits", "features"}


def test_two_classes_have_two_logits_whose_softmax_is_the_probability() -> None:
    from sklearn.linear_model import LogisticRegression

    rows, labels = table().read(slice(None)), table().labels % 2
    estimator = LogisticRegression().fit(rows, labels)
    model = open_model(estimator)
    out = model.forward(model.prepare(rows))
    np.testing.assert_allclose(out.logits.softmax(1).numpy(), estimator.predict_proba(rows), atol=1e-6)
    assert model.head is not None


def test_columns_with_names() -> None:
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = table().read(slice(None)), table().labels
    frame = pandas.DataFrame(rows, columns=list("abcdef"))
    pipe = make_pipeline(make_column_transformer((StandardScaler(), ["b", "d"])), LogisticRegression())
    model = open_model(pipe.fit(frame, labels))
    out = model.forward(model.prepare(rows))
    np.testing.assert_allclose(out.logits, pipe.decision_function(frame), atol=1e-5)
    assert out.features.shape == (60, 2)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "sklearn:model.pkl"])
def test_pickled_estimators_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name.removeprefix("sklearn:")).write_bytes(pickle.dumps(Command()))
    with pytest.raises(UserError, match="can run any code.*skops.io.dump"):
        open_model(name)
    assert not Path("was-here").exists()


def test_skops_files_with_other_types_or_damaged(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(2).fit(table().read(slice(None)), table().labels)
    skops.dump(forest, tmp_path / "forest.skops")
    with pytest.raises(UserError, match=r"trusted=\['sklearn.tree._tree.Tree'\].*--trust sklearn.tree._tree.Tree"):
        open_model(tmp_path / "forest.skops")
    (tmp_path / "bad.skops").write_bytes(b"no zip")
    with pytest.raises(UserError, match="cannot be read"):
        open_model(tmp_path / "bad.skops")


# ONNX


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    return exported(network().eval(), torch.rand(2, 3, 16, 16), path)


def test_an_onnx_file_of_a_fixed_batch_size(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    net = network().eval()
    model = open_model(exported(net, torch.rand(3, 3, 16, 16), tmp_path / "fixed.onnx", free=False))
    many = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(model.forward(model.prepare(many)).logits, net(Pictures()(many)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_logits_are_taken_before_a_softmax(end: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    net = network().eval()
    path = exported(nn.Sequential(net, end).eval(), torch.rand(2, 3, 16, 16), tmp_path / "soft.onnx")
    model = open_model(path)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.forward(model.prepare(COLOUR)).logits, net(Pictures()(COLOUR)), atol=1e-5, rtol=0
        )
    assert model.head is not None


class ConvHead(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.body, self.conv, self.inner = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 3, 1), inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.inner(self.conv(self.body(x).relu()))
        return maps.mean((2, 3))


@pytest.mark.parametrize(("inner", "linear"), [(nn.Identity(), True), (nn.ReLU(), False)])
def test_convolution_heads_of_onnx_files(inner: nn.Module, linear: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = open_model(exported(ConvHead(inner).eval(), torch.rand(2, 3, 16, 16), tmp_path / "conv.onnx"))
    out = model.forward(model.prepare(COLOUR))
    assert (model.head is not None) == linear
    if linear:
        torch.testing.assert_close(out.head(out.features), out.logits, rtol=1e-4, atol=1e-4)


def test_onnx_tensors_can_be_named(cnn: Path) -> None:
    whole: Any = open_model(cnn)
    convolution = next(name for name, node in whole.graph.makers.items() if node.op_type == "Conv")
    model = open_model(cnn, features=convolution, layers=[convolution])
    out = model.forward(model.prepare(COLOUR), model.layers)
    assert out.layers[convolution].ndim == 4 and out.features.shape == (4, out.layers[convolution].shape[1])
    assert model.head is None and model.offers == {"logits", "features", "layers", "pictures"}
    with pytest.raises(UserError, match="no 'nowhere'"):
        open_model(cnn, features="nowhere")


def test_onnx_inputs_of_another_shape(cnn: Path) -> None:
    model = open_model(cnn, preprocess=Pictures())
    with pytest.raises(UserError, match="Pass `preprocess`"):
        model.forward(model.prepare(GREY))
    (cnn.parent / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        open_model(cnn.parent / "bad.onnx")


# timm and transformers


def test_timm_names_and_weights(tmp_path: Path) -> None:
    timm = vision()
    with pytest.raises(UserError, match="Did you mean 'resnet18'"):
        open_model("timm:resnet118")
    net = timm.create_model("resnet18", num_classes=3, channels=(4, 4, 4, 4))
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    options: dict[str, Any] = {"weights": tmp_path / "w.safetensors"}
    model = open_model("timm:resnet18", network={"num_classes": 3, "channels": (4, 4, 4, 4)}, **options)
    assert model.head is not None and model.head.weight.shape == (3, 4)
    with pytest.raises(UserError, match="of another shape"):
        open_model(
            "timm:resnet18", weights=tmp_path / "w.safetensors", network={"num_classes": 4, "channels": (4,) * 4}
        )
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": {}}))
    with pytest.raises(UserError, match="loading them failed"):
        open_model(tmp_path / "timm")


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto", "levit_128s"])
def test_heads_of_other_timm_architectures(name: str) -> None:
    timm = vision()
    torch.manual_seed(0)
    model = open_model(timm.create_model(name, num_classes=3))
    items = np.random.default_rng(1).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    with model.evaluating(), torch.inference_mode():
        out = model.forward(model.prepare(items))
    if out.has("head"):
        torch.testing.assert_close(out.head(out.features), out.logits, rtol=1e-4, atol=1e-4)
    else:
        assert name == "levit_128s", "its head averages two, one of them for distillation"


def test_an_untrained_head_of_transformers_is_refused(tmp_path: Path) -> None:
    hf = transformers()
    model = bert(hf)
    model.config.architectures = ["BertForSequenceClassification"]
    model.bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(UserError, match="no such head"):
        open_model(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(UserError, match="classifier.bias, classifier.weight are not there"):
        open_model(f"hf:{tmp_path}")
    with pytest.raises(UserError, match="loading failed"):
        open_model(f"hf:{tmp_path / 'absent'}")


def test_text_features_can_be_chosen() -> None:
    hf = transformers()
    net, words, rows = bert(hf), tokenizer(hf), texts().read(slice(None))
    found = open_model(net, preprocess=words)
    assert found.classes == tuple("vwxyz") and found.head is not None
    assert "gradients" not in found.offers
    with torch.inference_mode():
        hidden = [net.bert(**words(row, return_tensors="pt")).last_hidden_state[0] for row in rows]
    for features, expected in {"cls": [h[0] for h in hidden], "mean": [h.mean(0) for h in hidden]}.items():
        model = open_model(net, preprocess=words, features=features)
        out = model.forward(model.prepare(rows))
        torch.testing.assert_close(out.features, torch.stack(expected), rtol=1e-4, atol=1e-5)
        assert model.head is None and "features" in model.offers and "hidden states" in repr(model)
        assert model.digest() != found.digest()


def test_pairs_of_texts_and_what_is_no_text() -> None:
    hf = transformers()
    model = open_model(bert(hf), preprocess=tokenizer(hf))
    assert len(model.forward(model.prepare([("a film", "not good"), ("dull", "a b")]))) == 2
    with pytest.raises(UserError, match="Expected texts"):
        model.prepare(COLOUR)
    with pytest.raises(UserError, match="Expected texts"):
        model.prepare([("a", "b"), "a"])
    with pytest.raises(UserError, match="loading failed"):
        open_model(bert(hf))


def test_a_text_classifier_of_one_logit_has_two_classes() -> None:
    library = transformers()
    tokens = tokenizer(library)
    options = {"vocab_size": len(tokens), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
               "intermediate_size": 8, "num_labels": 1}  # fmt: skip
    torch.manual_seed(0)
    config = library.BertConfig(**options, id2label={0: "toxic"})
    net = library.BertForSequenceClassification(config).eval()
    model: Any = open_model(net, preprocess=tokens)
    assert model.classes == ("not toxic", "toxic") and "sigmoid" in model.notes[0]
    items = texts().read(slice(None))
    out = model.forward(model.prepare(items))
    with torch.inference_mode():
        logit = net(**tokens(list(items), padding=True, return_tensors="pt")).logits[:, 0]
    torch.testing.assert_close(out.logits.softmax(1)[:, 1], logit.sigmoid(), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.head(out.features), out.logits, atol=1e-4, rtol=0)
    config.problem_type = "regression"
    with pytest.raises(UserError, match="regression"):
        open_model(net, preprocess=tokens)


def test_a_decoder_takes_its_logits_from_the_last_real_token() -> None:
    hf = transformers()
    config = hf.GPT2Config(
        vocab_size=40,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=32,
        num_labels=3,
        pad_token_id=0,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    model = open_model(hf.GPT2ForSequenceClassification(config), preprocess=tokenizer(hf))
    out = model.forward(model.prepare(texts().read(slice(None))))
    assert model.head is not None
    torch.testing.assert_close(out.head(out.features), out.logits, rtol=1e-4, atol=1e-4)
