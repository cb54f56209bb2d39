"""Small models of real architectures, saved in their published formats and opened as a user would."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from outfield.data.base import Dataset, Items
from outfield.data.datasets import ArrayDataset, ListDataset
from outfield.models.base import Model
from outfield.models.open import open_model
from outfield.models.preprocess import Pictures

CLASSES = 5
WORDS = ["a", "b", "film", "was", "good", "bad", "dull", "bright", "very", "not", "this", "one"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pictures(n: int = 11, side: int = 40) -> ArrayDataset:
    """Colour pictures that are not square."""
    shades = rng().integers(0, 256, (n, side, side + 8, 3), dtype=np.uint8)
    return ArrayDataset(shades, labels=np.arange(n) % CLASSES)


def table(n: int = 60) -> ArrayDataset:
    labels = np.arange(n) % CLASSES
    return ArrayDataset(rng().normal(size=(n, 6)) + labels[:, None], labels=labels)


def texts(n: int = 13) -> ListDataset:
    draw = rng()
    rows = [" ".join(draw.choice(WORDS, size=draw.integers(1, 12))) for _ in range(n)]
    return ListDataset(rows, labels=np.arange(n) % CLASSES)


@dataclass(frozen=True)
class Case:
    """A model of a framework, opened; what the framework itself says; and how to change a weight of it."""

    model: Model
    own: Callable[[Items], Any]
    data: Dataset
    reopen: Callable[[], Model]
    change: Callable[[Model], Model]
    head: bool = True

    def own_logits(self) -> torch.Tensor:
        return torch.as_tensor(np.asarray(self.own(self.data.read(slice(None)))), dtype=torch.float32)


def images(batch: Items) -> list[Image.Image]:
    return [Image.fromarray(picture) for picture in batch]


def nudged(model: Any) -> Model:
    """A weight of the module that the model holds, changed in place."""
    with torch.no_grad():
        [weight for weight in model.module.parameters() if weight.requires_grad][-1].add_(0.5)
    return model


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def vision() -> Any:
    """timm, where it can be imported.

    A torchvision wheel built for another torch registers shapes of operations that it could not load; those two are
    declared here, so that all else of it can be used: no test calls them.
    """
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("timm needs torchvision, which is not installed")
    if not hasattr(torch.ops.torchvision, "nms"):
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(declared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("timm")


_KEPT: list[Any] = []


def transformers() -> Any:
    """transformers, whose image processors use torchvision where it is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        vision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("transformers")
    library.utils.logging.disable_progress_bar()
    library.utils.logging.set_verbosity_error()
    return library


TORCH_FILE = """
import torch
from safetensors.torch import load_file
from outfield.registry import create

def make():
    network = create("networks", "resnet_cifar", classes=5, depth=8, channels=3)
    network.load_state_dict(load_file({weights!r}))
    return network
"""


def torch_resnet(folder: Path) -> Case:
    from safetensors.torch import save_file

    from outfield.registry import create

    network = _seeded(lambda: create("networks", "resnet_cifar", classes=CLASSES, depth=8, channels=3))
    save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "net.py").write_text(TORCH_FILE.format(weights=str(folder / "weights.safetensors")))
    data = pictures()

    def opened() -> Model:
        example = data.read(slice(0, 2))
        return open_model(f"{folder / 'net.py'}:make", example=example, preprocess=Pictures(side=32))

    def own(batch: Items) -> Any:
        with torch.inference_mode():
            return network(Pictures(side=32)(batch))

    return Case(opened(), own, data, opened, nudged)


def _timm(folder: Path, name: str, config: dict[str, Any], **options: Any) -> Case:
    timm = vision()
    overlay = {"num_classes": CLASSES, **config}
    network = _seeded(lambda: timm.create_model(name, num_classes=CLASSES, pretrained_cfg_overlay=overlay, **options))
    timm.models.save_for_hf(network, folder, model_args={"num_classes": CLASSES, **options}, safe_serialization=True)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)

    def own(batch: Items) -> Any:
        with torch.inference_mode():
            return network(torch.stack([transform(image) for image in images(batch)]))

    def opened() -> Model:
        return open_model(f"timm:{folder}")

    return Case(opened(), own, pictures(), opened, nudged)


def timm_resnet(folder: Path) -> Case:
    return _timm(folder, "resnet18", {"input_size": (3, 48, 48), "crop_pct": 0.95}, channels=(8, 16, 24, 32))


def timm_vit(folder: Path) -> Case:
    return _timm(folder, "vit_tiny_patch16_224", {"input_size": (3, 32, 32), "crop_pct": 0.875}, img_size=32, depth=2)


def _hf_vision(folder: Path, network: nn.Module, processor: Any) -> Case:
    network.save_pretrained(folder)
    processor.save_pretrained(folder)

    def own(batch: Items) -> Any:
        with torch.inference_mode():
            return network(**processor(images=images(batch), return_tensors="pt")).logits

    def opened() -> Model:
        return open_model(f"hf:{folder}")

    return Case(opened(), own, pictures(), opened, nudged)


def hf_resnet(folder: Path) -> Case:
    hf = transformers()
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=CLASSES)
    network = _seeded(lambda: hf.ResNetForImageClassification(config))
    return _hf_vision(folder, network, hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875))


def hf_vit(folder: Path) -> Case:
    hf = transformers()
    config = hf.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=CLASSES,
    )
    processor = hf.ViTImageProcessor(size={"height": 32, "width": 32})
    return _hf_vision(folder, _seeded(lambda: hf.ViTForImageClassification(config)), processor)


def tokenizer(hf: Any) -> Any:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    return hf.BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}, model_max_length=24)


def bert(hf: Any) -> nn.Module:
    config = hf.BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=CLASSES,
        initializer_range=0.3,
        id2label=dict(enumerate("vwxyz")),
        label2id={name: i for i, name in enumerate("vwxyz")},
    )
    return _seeded(lambda: hf.BertForSequenceClassification(config))


def hf_bert(folder: Path) -> Case:
    hf = transformers()
    network, words = bert(hf), tokenizer(hf)
    network.save_pretrained(folder)
    words.save_pretrained(folder)

    def own(batch: Items) -> Any:
        with torch.inference_mode():
            rows = [network(**words(text, return_tensors="pt")).logits[0] for text in batch]
        return torch.stack(rows)

    def opened() -> Model:
        return open_model(f"hf:{folder}")

    return Case(opened(), own, texts(), opened, nudged)


def _sklearn(
    folder: Path,
    estimator: Any,
    data: Dataset,
    own: Callable[[Items], Any],
    change: Callable[[Any], Model],
    *,
    head: bool = True,
    trusted: tuple[str, ...] = (),
) -> Case:
    skops = pytest.importorskip("skops.io")
    skops.dump(estimator, folder / "model.skops")

    def opened() -> Model:
        return open_model(f"sklearn:{folder / 'model.skops'}", example=data.read(slice(0, 4)), trusted=trusted)

    return Case(opened(), own, data, opened, change, head)


def sklearn_pipeline(folder: Path) -> Case:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = table()
    pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.read(slice(None)), data.labels)

    def change(model: Any) -> Model:
        model.last.intercept_[0] += 0.5
        return open_model(model.estimator)

    return _sklearn(folder, pipe, data, pipe.decision_function, change)


def sklearn_forest(folder: Path) -> Case:
    from sklearn.ensemble import RandomForestClassifier

    data = table()
    forest = RandomForestClassifier(5, random_state=0).fit(data.read(slice(None)), data.labels)

    def change(model: Any) -> Model:
        other = RandomForestClassifier(5, random_state=1).fit(data.read(slice(None)), data.labels)
        return open_model(other)

    def own(batch: Items) -> Any:
        return np.log(np.maximum(forest.predict_proba(batch), 1e-12))

    return _sklearn(folder, forest, data, own, change, head=False, trusted=("sklearn.tree._tree.Tree",))


def sklearn_text(folder: Path) -> Case:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC

    data = texts(40)
    pipe = Pipeline([("words", TfidfVectorizer()), ("svm", LinearSVC())]).fit(data.read(slice(None)), data.labels)

    def change(model: Any) -> Model:
        model.last.coef_ += 0.5
        return open_model(model.estimator, example=data.read(slice(0, 4)))

    return _sklearn(folder, pipe, data, pipe.decision_function, change)


def exported(network: nn.Module, x: torch.Tensor, path: Path, *, free: bool = True) -> Path:
    """The module as an ONNX file, of any batch size or of that of ``x``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free_axis = {"x": {0: "n"}} if free else None
        torch.onnx.export(network, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=free_axis)
    return path


def onnx_cnn(folder: Path) -> Case:
    runtime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from outfield.registry import create

    network = _seeded(lambda: create("networks", "resnet_cifar", classes=CLASSES, depth=8, channels=3))
    path = exported(network, torch.rand(2, 3, 32, 32), folder / "net.onnx")
    session = runtime.InferenceSession(path)

    def own(batch: Items) -> Any:
        return session.run(None, {session.get_inputs()[0].name: Pictures(side=32)(batch).numpy()})[0]

    def opened() -> Model:
        return open_model(f"onnx:{path}")

    def change(model: Model) -> Model:
        proto = onnx.load(path)
        weight = next(one for one in proto.graph.initializer if one.name == "head.bias")
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 0.5, "head.bias"))
        onnx.save(proto, folder / "changed.onnx")
        return open_model(folder / "changed.onnx")

    return Case(opened(), own, pictures(), opened, change)


CASES: dict[str, Callable[[Path], Case]] = {
    "torch resnet": torch_resnet,
    "timm resnet18": timm_resnet,
    "timm vit_tiny": timm_vit,
    "transformers resnet": hf_resnet,
    "transformers vit": hf_vit,
    "transformers bert": hf_bert,
    "sklearn pipeline": sklearn_pipeline,
    "sklearn forest": sklearn_forest,
    "sklearn texts": sklearn_text,
    "onnx resnet": onnx_cnn,
}
