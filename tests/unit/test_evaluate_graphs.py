"""ONNX graphs get their inputs in the type, the order of axes and under the names that they state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.models.open import open_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
DRAW = np.random.default_rng(0)
WEIGHT = DRAW.normal(size=(4, 3)).astype(np.float32)
TABLE = DRAW.normal(size=(9, 4)).astype(np.float32)
IDS = DRAW.integers(0, 9, (6, 5))


def graph(path: Path, inputs: dict[str, tuple[str, list[Any]]], nodes: list[tuple[Any, ...]], output: str) -> Path:
    """A file of nodes (operation, inputs, output, attributes); the weights are those that the nodes name."""
    types = onnx.TensorProto
    known = {"W": WEIGHT, "w": WEIGHT[:, :1], "T": TABLE}
    used = {name for _, names, *_ in nodes for name in names} & known.keys()
    made = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, names, [out], **(more[0] if more else {})) for kind, names, out, *more in nodes],
        "g",
        [
            onnx.helper.make_tensor_value_info(name, getattr(types, kind), shape)
            for name, (kind, shape) in inputs.items()
        ],
        [onnx.helper.make_tensor_value_info(output, types.FLOAT, ["rows", "classes"])],
        [onnx.numpy_helper.from_array(known[name], name) for name in sorted(used)],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("kind", ["INT64", "INT32"])
def test_token_numbers_stay_whole(kind: str, tmp_path: Path) -> None:
    nodes = [
        ("Constant", [], "one", {"value": onnx.numpy_helper.from_array(np.array([1]))}),
        ("Gather", ["T", "ids"], "words"),
        ("ReduceMean", ["words", "one"], "mean", {"keepdims": 0}),
        ("MatMul", ["mean", "W"], "logits"),
    ]
    model = open_model(graph(tmp_path / "ids.onnx", {"ids": (kind, ["n", 5])}, nodes, "logits"), example=IDS[:2])
    out = model.forward(model.prepare(dataset(IDS).read(slice(None))))
    np.testing.assert_allclose(out.logits, TABLE[IDS].mean(1) @ WEIGHT, atol=1e-5)
    assert model.head is not None
    with pytest.raises(UserError, match="whole numbers, as ids.onnx reads"):
        model.prepare(dataset(IDS + 0.5).read(slice(None)))
    with pytest.raises(UserError, match="failed on"):
        model.forward(model.prepare(IDS.astype(np.float32) + 9))


@pytest.mark.parametrize("last", [False, True])
def test_eight_bit_pictures_stay_eight_bit(last: bool, tmp_path: Path) -> None:
    pictures = DRAW.integers(0, 256, (3, 2, 2, 1), dtype=np.uint8)
    nodes = [("Cast", ["x"], "f", {"to": 1}), ("Flatten", ["f"], "rows"), ("MatMul", ["rows", "W"], "logits")]
    shape = ["n", 2, 2, 1] if last else ["n", 1, 2, 2]
    model = open_model(graph(tmp_path / "bytes.onnx", {"x": ("UINT8", shape)}, nodes, "logits"))
    expected = pictures.reshape(3, 4).astype(np.float32) @ WEIGHT
    for given in (pictures, pictures / np.float32(255)):
        x = model.prepare(dataset(given).read(slice(None)))
        assert x.dtype == torch.uint8
        np.testing.assert_allclose(model.forward(x).logits, expected, rtol=1e-4)


def test_several_inputs_by_name(tmp_path: Path) -> None:
    nodes = [
        ("Gather", ["T", "word"], "looked"),
        ("Add", ["looked", "numbers"], "sum"),
        ("MatMul", ["sum", "W"], "logits"),
    ]
    path = graph(tmp_path / "two.onnx", {"word": ("INT64", ["n"]), "numbers": ("FLOAT", ["n", 4])}, nodes, "logits")
    given = {"numbers": TABLE[:6], "word": IDS[:, 0], "other": np.zeros(6)}
    model = open_model(path, example=dataset(given).read(slice(0, 2)))
    out = model.forward(model.prepare(dataset(given).read(slice(None))))
    np.testing.assert_allclose(out.logits, (TABLE[IDS[:, 0]] + TABLE[:6]) @ WEIGHT, atol=1e-5)
    for example in (None, TABLE):
        with pytest.raises(UserError, match=r"\{'word': ..., 'numbers': ...\}, labels"):
            open_model(path, example=example)


@pytest.mark.parametrize("end", ["logit", "sigmoid"])
def test_one_logit_is_two_classes(end: str, tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", "w"], "logit"), *([("Sigmoid", ["logit"], "sigmoid")] if end == "sigmoid" else [])]
    model: Any = open_model(graph(tmp_path / "one.onnx", {"x": ("FLOAT", ["n", 4])}, nodes, end))
    out = model.forward(model.prepare(TABLE))
    chance = 1 / (1 + np.exp(-(TABLE @ WEIGHT[:, 0])))
    np.testing.assert_allclose(out.logits.softmax(1)[:, 1], chance, atol=1e-5)
    torch.testing.assert_close(model.head(out.features), out.logits, atol=1e-4, rtol=0)
    assert "sigmoid" in model.notes[0]


def test_probabilities_become_logits(tmp_path: Path) -> None:
    nodes = [
        ("Constant", [], "one", {"value": onnx.numpy_helper.from_array(np.float32([1]))}),
        ("Softmax", ["x"], "soft"),
        ("Div", ["soft", "one"], "probabilities"),
    ]
    model = open_model(graph(tmp_path / "p.onnx", {"x": ("FLOAT", ["n", 4])}, nodes, "probabilities"))
    out = model.forward(model.prepare(TABLE))
    torch.testing.assert_close(out.logits.softmax(1), torch.from_numpy(TABLE).softmax(1), atol=1e-5, rtol=0)


def test_a_graph_that_gives_other_rows(tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", "W"], "all"), ("ReduceMean", ["all"], "logits", {"keepdims": 1})]
    with pytest.raises(UserError, match="gave fewer|each of 2 inputs"):
        open_model(graph(tmp_path / "rows.onnx", {"x": ("FLOAT", ["n", 4])}, nodes, "logits"))
