"""ONNX files through onnxruntime: logits, and the tensor before the last linear operation, found in the graph."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield import keys
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.heads import FLOOR, pooled, two_sided
from outfield.models.libraries import library
from outfield.models.preprocess import Named, Pictures, Preprocess, Table, code_of, shown, stated
from outfield.models.torch import logits_of
from outfield.types import Head, Outputs

_SAME = ("Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze")
_POOLS = ("GlobalAveragePool", "ReduceMean")
_DTYPES = {
    "tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64,
    "tensor(int64)": torch.int64, "tensor(int32)": torch.int32, "tensor(int16)": torch.int16,
    "tensor(int8)": torch.int8, "tensor(uint8)": torch.uint8, "tensor(bool)": torch.bool,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear operation of a graph: the name of its input tensor, its head, and the name of its weight."""

    features: str
    name: str
    head: Head
    single: bool = False
    """Whether it makes one logit, which the head then has as two."""


class Graph:
    """The graph of an ONNX file: which node makes which tensor."""

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.makers = {name: node for node in proto.graph.node for name in node.output}
        self.weights = {one.name: one for one in proto.graph.initializer}

    def logits(self) -> str:
        """The tensor of logits: the output of that name or the first of fractions; before the softmax it may end in.

        A sigmoid of one linear logit is passed over too: it is a binary classifier.
        """
        outputs = self.proto.graph.output
        floats = [one.name for one in outputs if one.type.tensor_type.elem_type in (0, 1, 10, 11)]
        name = "logits" if "logits" in floats else floats[0] if floats else outputs[0].name
        while (node := self.makers.get(name)) is not None and node.op_type in ("Softmax", "LogSoftmax", "Identity"):
            name = node.input[0]
        return str(self._before_sigmoid(name))

    def _before_sigmoid(self, name: str) -> str:
        node = self.makers.get(name)
        if node is None or node.op_type != "Sigmoid":
            return name
        linear = self.linear(node.input[0])
        return str(node.input[0]) if linear is not None and linear.single else name

    def linear(self, name: str) -> Linear | None:
        """The linear operation that makes a tensor, where there is one: Gemm, MatMul with Add, or a 1 x 1 Conv."""
        node = self._before(name, _SAME)
        if node is None:
            return None
        if node.op_type == "Add":
            return self._added(node)
        if node.op_type in _POOLS:
            node = self._before(node.input[0], ("Identity",))
        made = {"Gemm": self._gemm, "MatMul": self._matmul, "Conv": self._conv}.get(node.op_type if node else "")
        return made(node) if made else None

    def _before(self, name: str, passed: Sequence[str]) -> Any:
        """The node that makes a tensor, nodes that only reshape or rename passed over."""
        node = self.makers.get(name)
        while node is not None and node.op_type in passed:
            node = self.makers.get(node.input[0])
        return node

    def _gemm(self, node: Any) -> Linear | None:
        set_to = {one.name: library("onnx", extra="onnx").helper.get_attribute_value(one) for one in node.attribute}
        weight, bias = self._constant(node.input[1]), self._constant(node.input[2]) if len(node.input) > 2 else None
        if weight is None or set_to.get("transA", 0):
            return None
        weight = set_to.get("alpha", 1.0) * (weight if set_to.get("transB", 0) else weight.T)
        return _linear(node, weight, None if bias is None else set_to.get("beta", 1.0) * bias)

    def _matmul(self, node: Any, bias: NDArray[Any] | None = None) -> Linear | None:
        weight = self._constant(node.input[1])
        return None if weight is None or weight.ndim != 2 else _linear(node, weight.T, bias)

    def _added(self, node: Any) -> Linear | None:
        for product, other in (node.input, reversed(node.input)):
            maker, bias = self.makers.get(product), self._constant(other)
            if maker is not None and maker.op_type == "MatMul" and bias is not None:
                return self._matmul(maker, bias)
        return None

    def _conv(self, node: Any) -> Linear | None:
        weight = self._constant(node.input[1])
        bias = self._constant(node.input[2]) if len(node.input) > 2 else None
        if weight is None or weight[0, 0].size > 1:
            return None
        return _linear(node, weight.reshape(len(weight), -1), bias)

    def _constant(self, name: str) -> NDArray[Any] | None:
        """The value of a tensor that does not depend on the input: a weight, a constant, or either transposed."""
        to_array = library("onnx", extra="onnx").numpy_helper.to_array
        if name in self.weights:
            return np.asarray(to_array(self.weights[name]))
        node = self.makers.get(name)
        if node is None or node.op_type not in ("Constant", "Identity", "Transpose"):
            return None
        if node.op_type == "Constant":
            return np.asarray(to_array(node.attribute[0].t))
        value = self._constant(node.input[0])
        return value.T if value is not None and node.op_type == "Transpose" else value

    def with_outputs(self, names: Sequence[str]) -> bytes:
        """The file's bytes with further tensors as outputs."""
        proto = type(self.proto)()
        proto.CopyFrom(self.proto)
        have = {output.name for output in proto.graph.output}
        for name in dict.fromkeys(names):
            if name not in have:
                proto.graph.output.append(library("onnx", extra="onnx").ValueInfoProto(name=name))
        content: bytes = proto.SerializeToString()
        return content


_NUMPY = {name: str(dtype).removeprefix("torch.") for name, dtype in _DTYPES.items()}
PROBABILITIES = ("probabilities", "output_probability")
"""What exporters of scikit-learn call them."""


@dataclass(frozen=True)
class ChannelsLast(Pictures):
    """``Pictures`` for graphs that read [n, H, W, C]."""

    def __call__(self, batch: Items) -> Tensor:
        return super().__call__(batch).permute(0, 2, 3, 1).contiguous()

    @property
    def scale(self) -> Tensor:
        """``std``, shaped to divide one input [H, W, C]."""
        return torch.tensor(self.std, dtype=torch.float32)


def _linear(node: Any, weight: NDArray[Any], bias: NDArray[Any] | None) -> Linear:
    wide = torch.from_numpy(np.array(weight, np.float32))
    added = torch.zeros(len(wide)) if bias is None else torch.from_numpy(np.array(bias, np.float32)).flatten()
    added = added.expand(len(wide)).clone()
    if len(wide) > 1:
        return Linear(node.input[0], node.input[1], Head(wide, added))
    return Linear(node.input[0], node.input[1], Head(two_sided(wide.T).T, two_sided(added[:, None])[0]), single=True)


class OnnxModel:
    """An ONNX classifier of one input, or of several that items give by name.

    Inputs are given in the type that the graph reads: token numbers as whole numbers, 8-bit pictures as 0 to 255.
    One logit makes two classes.

    Parameters
    ----------
    path : path
    example : Items, optional
        A few items; by default noise of the shape that the file states.
    preprocess : callable, optional
        Items to input tensor; by default ``Pictures`` of the stated size, values in [0, 1], or ``Table``. A file does
        not state what to subtract and divide by: pass ``Pictures(mean=..., std=...)`` where the model needs it.
    head : str, optional
        Name of the logits tensor, where it is another than the output.
    features : str, optional
        Name of the tensor of features, where none is found or another is wanted; a linear head that does not follow
        it is left out.
    layers : sequence of str
        Names of tensors that probes read.
    name : str
    classes : sequence of str, optional
    device : str
        ``cpu``, or ``cuda`` where onnxruntime has it.

    Raises
    ------
    MissingExtra
        onnx or onnxruntime is not installed.
    UserError
        No such file, or no ONNX; several inputs and items without their names; no logits [n, C]; names of no tensors.
    """

    def __init__(
        self,
        path: str | Path,
        example: Items | None = None,
        *,
        preprocess: Preprocess | None = None,
        head: str | None = None,
        features: str | None = None,
        layers: Sequence[str] | None = None,
        name: str | None = None,
        classes: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.path, self.name, self.forwards = Path(path), name or Path(path).stem, 0
        self.device = torch.device(device or "cpu")
        self.graph = Graph(_read(self.path))
        self.logits_name = self._known(head or self.graph.logits())
        linear = self.graph.linear(self.logits_name)
        self.features_name = self._known(features) if features else linear.features if linear else None
        self.layers = tuple(map(self._known, layers or ()))
        names = [name for name in (self.logits_name, self.features_name, *self.layers) if name]
        self.session = _session(self.graph.with_outputs(names), self.device.type)
        self.classes = self._names(classes)
        self.inputs = self.session.get_inputs()
        self.input = self.inputs[0]
        self.preprocess = preprocess or self._own_preprocess(example)
        self.linear = linear if linear and self._follows(linear, self.prepare(self._example(example))) else None
        if self.linear is None and not features:
            self.features_name = None

    def _names(self, given: Sequence[str] | None) -> tuple[str, ...] | None:
        """The names of the classes: those given, else those of the file's metadata, where there is one for each."""
        names = stated_names(self.graph.proto) if given is None else tuple(map(str, given))
        shape = next(one.shape for one in self.session.get_outputs() if one.name == self.logits_name)
        count = shape[-1] if shape and isinstance(shape[-1], int) else len(names or ())
        if given is not None and len(given) != count:
            raise UserError(f"Expected names for {count} classes, but got {len(given)}. Pass one for each logit.")
        return names if names is not None and len(names) == count else None

    def _known(self, name: str) -> str:
        if name in self.graph.makers:
            return name
        raise UserError(
            f"Expected the name of a tensor of {self.path.name}, but it has no {name!r}. "
            f"The last ones are: {', '.join(list(self.graph.makers)[-8:])}."
        )

    def _own_preprocess(self, example: Items | None) -> Preprocess:
        if len(self.inputs) > 1:
            return self._by_name(example)
        shape = [size if isinstance(size, int) else None for size in self.input.shape]
        eight_bit = (1 / 255,) if self.input.type == "tensor(uint8)" else (1.0,)
        if len(shape) == 4 and shape[1] in (1, 3, None) and shape[3] not in (1, 3):
            return Pictures(side=shape[2] if shape[2] == shape[3] else None, channels=shape[1], std=eight_bit)
        if len(shape) == 4 and shape[3] in (1, 3):
            return ChannelsLast(side=shape[1] if shape[1] == shape[2] else None, channels=shape[3], std=eight_bit)
        if len(shape) == 2:
            return Table(columns=shape[1])
        raise UserError(
            f"Expected pictures [n, C, H, W] or rows [n, D] as input, but {self.path.name} reads {self.input.shape}. "
            "Pass `preprocess`."
        )

    def _by_name(self, example: Items | None) -> Named:
        """Several inputs, each from the items' array of its name, in the graph's types."""
        names = [one.name for one in self.inputs]
        if example is None or not len(example) or not isinstance(example[0], Mapping) or set(names) - set(example[0]):
            given = ", ".join(f"{name!r}: ..." for name in names)
            raise UserError(
                f"Expected items with an array for each input of {self.path.name} ({', '.join(names)}). "
                f"Pass them by name, ({{{given}}}, labels), or export the model with one input."
            )
        shapes = {name: np.shape(example[0][name]) for name in names}
        return Named(tuple((one.name, shapes[one.name], _NUMPY.get(one.type, "float32")) for one in self.inputs))

    def _example(self, example: Items | None) -> Items:
        if example is not None and len(example):
            return example
        shape = self.input.shape[1:]
        if example is None and all(isinstance(size, int) for size in shape):
            whole = len(shape) == 1 and "int" in self.input.type
            values = np.random.default_rng(0).random((2, *shape), dtype=np.float32) * (not whole)
            return (
                values if values.ndim == 2 or isinstance(self.preprocess, ChannelsLast) else np.moveaxis(values, 1, -1)
            )
        raise UserError(f"Expected an example of at least one item: the input is {self.input.shape}. Pass `example`.")

    def _follows(self, linear: Linear, x: Tensor) -> bool:
        """Whether the found head gives the logits from the found features; the example must give finite logits."""
        out = self._run(x, ())
        if not out[self.logits_name].isfinite().all():
            raise UserError(
                f"Expected finite logits for the example, but {self.path.name} gave NaN or infinity. "
                "Look at the weights that it was exported with, and at the preprocessing."
            )
        features = self._features(out)
        if features is None or features.shape[1] != linear.head.weight.shape[1]:
            return False
        gap = (linear.head(features) - out[self.logits_name]).abs().max()
        return bool(gap <= 1e-4 * max(1.0, float(out[self.logits_name].abs().max())))

    def __repr__(self) -> str:
        found = f"logits {self.logits_name!r}, features {self.features_name or 'none'!r}, {self._about_head()}"
        layers = ", ".join(self.layers) or "none"
        return f"OnnxModel({self.name!r}, {found}, layers {layers}, preprocess {shown(self.preprocess)})"

    def _about_head(self) -> str:
        if self.linear is None:
            return "no linear head"
        return "head {!r} [{} classes, {} features]".format(self.linear.name, *self.linear.head.weight.shape)

    @property
    def head(self) -> Head | None:
        return self.linear.head.to(self.device) if self.linear else None

    @property
    def offers(self) -> frozenset[str]:
        has = {"logits": True, "features": self.features_name, "head": self.linear, "layers": self.layers}
        has["pictures"] = isinstance(self.preprocess, Pictures) and not isinstance(self.preprocess, ChannelsLast)
        return frozenset(name for name, value in has.items() if value)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how the model was read."""
        single = self.linear is not None and self.linear.single
        return ("The model gives one logit an input: it counts as two classes through the sigmoid.",) if single else ()

    @property
    def input_std(self) -> Tensor:
        scale: Tensor = getattr(self.preprocess, "scale", torch.ones(()))
        return scale.to(self.device)

    @property
    def input_mean(self) -> Tensor:
        offset: Tensor = getattr(self.preprocess, "offset", torch.zeros(()))
        return offset.to(self.device)

    def prepare(self, batch: Items) -> Tensor:
        """The items in the type that the graph reads.

        Raises
        ------
        UserError
            Fractions where it reads whole numbers, or numbers that its type does not hold.
        """
        x = self.preprocess(batch)
        if isinstance(self.preprocess, Named):
            return x
        dtype = _DTYPES.get(self.input.type, x.dtype)
        if dtype.is_floating_point or not x.is_floating_point():
            return x.to(dtype)
        whole = x.round() if isinstance(self.preprocess, Pictures) else x
        if not torch.equal(whole.to(dtype).to(x.dtype), whole):
            raise UserError(
                f"Expected whole numbers, as {self.path.name} reads {self.input.type}, but got {x.min():g} to "
                f"{x.max():g}. Pass `preprocess` that gives such numbers."
            )
        return whole.to(dtype)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """One pass; files of a fixed batch size are run in pieces of that size, the last one filled up."""
        self.forwards += len(x)
        out = {name: value.to(self.device) for name, value in self._run(x, layers).items()}
        return Outputs(
            out[self.logits_name], self._features(out), head=self.head, layers={name: out[name] for name in layers}
        )

    def _features(self, out: dict[str, Tensor]) -> Tensor | None:
        return pooled(out[self.features_name], self.features_name).float() if self.features_name else None

    def _run(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        names = list(dict.fromkeys([self.logits_name, *filter(None, [self.features_name]), *layers]))
        fixed = self.input.shape[0] if isinstance(self.input.shape[0], int) else None
        pieces = [self._piece(names, piece, fixed) for piece in x.detach().cpu().split(fixed or len(x))]
        out = {name: torch.cat([piece[i] for piece in pieces]) for i, name in enumerate(names)}
        return out | {self.logits_name: self._two_or_more(out[self.logits_name], len(x))}

    def _two_or_more(self, raw: Tensor, rows: int) -> Tensor:
        """Logits for two classes or more of what the graph gives."""
        logits = logits_of(raw, rows)
        if self.log_of:
            logits = logits.clamp_min(FLOOR).log()
        if logits.shape[1] > 1:
            return logits
        maker = self.graph.makers[self.logits_name].op_type
        return two_sided(torch.logit(logits) if maker == "Sigmoid" else logits)

    @property
    def log_of(self) -> bool:
        """Whether the graph gives probabilities by name, as exported classifiers of scikit-learn do."""
        return self.logits_name in PROBABILITIES

    def _piece(self, names: Sequence[str], x: Tensor, fixed: int | None) -> list[Tensor]:
        filled = torch.cat([x, x[-1:].expand(fixed - len(x), *x.shape[1:])]) if fixed else x
        try:
            values = self.session.run(names, self._fed(filled))
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise UserError(
                f"Expected inputs {self.input.shape} ({self.input.type}), but {self.path.name} failed on "
                f"{list(x.shape)}: {str(error).splitlines()[0]} Pass `preprocess` that gives what it reads."
            ) from error
        short = [name for name, value in zip(names, values, strict=True) if np.ndim(value) < 1 or len(value) < len(x)]
        if short:
            raise UserError(
                f"Expected a row of {', '.join(short)} for each of {len(x)} inputs, but {self.path.name} gave fewer. "
                "Export it so that the first axis is the batch."
            )
        return [torch.from_numpy(np.array(value[: len(x)] if fixed else value)) for value in values]

    def _fed(self, x: Tensor) -> dict[str, NDArray[Any]]:
        if not isinstance(self.preprocess, Named):
            return {self.input.name: x.numpy()}
        types = {one.name: _DTYPES.get(one.type, torch.float32) for one in self.inputs}
        return {name: value.to(types[name]).numpy() for name, value in self.preprocess.apart(x).items()}

    def evaluating(self) -> AbstractContextManager[None]:
        """Nothing to do: an exported file has no training mode."""
        return nullcontext()

    def digest(self) -> str:
        """Content key of the file with its external weights, and of the preprocessing."""
        return keys.key(
            file=keys.digest(self.graph.proto.SerializeToString(deterministic=True)),
            preprocess=stated(self.preprocess),
            names=[self.logits_name, self.features_name, *self.layers],
            code=code_of(type(self)),
        )


NAMES = ("names", "classes", "class_names", "labels", "id2label")
"""Entries of a file's metadata that exporters write the names of the classes to."""


def stated_names(proto: Any) -> tuple[str, ...] | None:
    """Names of the classes in a file's metadata: a list, or a mapping of 0, 1, ... to them, in JSON or as Python."""
    said = {one.key.lower(): one.value for one in proto.metadata_props}
    found = (_parsed(said[key]) for key in NAMES if key in said)
    return next((names for names in found if names), None)


def _parsed(text: str) -> tuple[str, ...] | None:
    try:
        value = ast.literal_eval(text) if len(text) < LONGEST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(value, dict):
        numbered = {str(number): name for number, name in value.items()}
        value = [numbered.get(str(number)) for number in range(len(value))]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        return None
    return tuple(value)


LONGEST = 10_000_000
"""Characters of names that are read."""


def _read(path: Path) -> Any:
    onnx = library("onnx", extra="onnx")
    if not path.is_file():
        raise UserError(f"Expected an ONNX file at {path}, but there is none. Check the path.")
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf, onnx and the file system each raise their own
        raise UserError(
            f"Expected an ONNX model in {path}, but it cannot be read: {str(error).strip().splitlines()[0]} "
            "Export it again, and keep its .data file beside it."
        ) from None
    return proto


def _session(content: bytes, device: str) -> Any:
    runtime = library("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    providers = (["CUDAExecutionProvider"] if device == "cuda" else []) + ["CPUExecutionProvider"]
    return runtime.InferenceSession(content, options, providers=providers)
