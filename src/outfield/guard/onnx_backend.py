"""A guard from one ONNX graph: prediction, score, p and verdict with onnxruntime and NumPy, without torch.

The graph holds model, detector and thresholds; its metadata hold the manifest of the bundle that it was exported from,
the thresholds in hexadecimal, and inputs whose scores are known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from outfield import keys
from outfield.errors import MissingExtra, UserError, reading
from outfield.guard.manifest import MANIFEST, MOST_MANIFEST, MOST_ONNX, ONNX, Manifest, content_of, manifest_of, onnx_of
from outfield.guard.monitor import Monitor
from outfield.guard.thresholds import Ladder
from outfield.guard.verdicts import Answers, Verdicts
from outfield.types import Array

ENTRY = "outfield.guard"
"""The entry of the graph's metadata that is read."""
OUTPUTS = ("score", "p", "flag")
BATCH = 256
"""Inputs of one pass."""
MOST_BETWEEN = 40
"""Bytes between the graph and its facts: the name of the entry, and lengths."""
DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8,
}  # fmt: skip
NEAR = 1e-4
"""Of a known score's own size: how far off it may be beside the bundle's tolerance, on another machine."""
OTHERWISE = "it is not as it was written"
REBUILD = "Export the graph again, or copy it again."


@dataclass(frozen=True)
class Facts:
    """What an exported graph says of itself, as JSON in its metadata.

    Thresholds and known scores stand in hexadecimal, which holds float64 exactly.
    """

    manifest: Manifest
    threshold: float
    ladder: Array
    mirror: Array
    shapes: Mapping[str, list[int]]
    scores: Array
    preprocess: str
    sha256: str = ""
    """Of the bytes before the metadata, which stand last in the file."""
    size: int = 0
    """How many those are."""

    def text(self) -> str:
        """The JSON that :meth:`of` reads."""
        said = {
            "manifest": self.manifest.model_dump_json(), "threshold": self.threshold.hex(),
            "ladder": _hex(self.ladder), "mirror": _hex(self.mirror), "shapes": dict(self.shapes),
            "scores": _hex(self.scores), "preprocess": self.preprocess, "sha256": self.sha256, "size": self.size,
        }  # fmt: skip
        return json.dumps(said | {"digest": keys.key(**said)})

    @classmethod
    def of(cls, text: str) -> Facts:
        """From the JSON of :meth:`text`; an error of any kind where it is none."""
        said = json.loads(text)
        if said.pop("digest") != keys.key(**said):
            raise ValueError(OTHERWISE)
        numbers = {name: _numbers(said[name]) for name in ("ladder", "mirror", "scores")}
        return cls(
            manifest_of(said["manifest"].encode()), float.fromhex(said["threshold"]), shapes=said["shapes"],
            preprocess=str(said["preprocess"]), sha256=said["sha256"], size=int(said["size"]), **numbers,
        )  # fmt: skip


def facts_of(content: bytes, text: str) -> Facts:
    """The facts that stand last in a file; ``ValueError`` where what stands before is not as it was written."""
    facts, end = Facts.of(text), text.encode()
    between = len(content) - facts.size - len(end)
    whole = content.endswith(end) and 0 < between <= MOST_BETWEEN
    if not whole or hashlib.sha256(content[: facts.size]).hexdigest() != facts.sha256:
        raise ValueError(OTHERWISE)
    return facts


def _hex(values: Array) -> list[str]:
    return [float(one).hex() for one in values]


def _numbers(texts: list[str]) -> Array:
    return np.array([float.fromhex(one) for one in texts])


def pattern(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Inputs that are the same on every machine: numbers in [-1, 1) of a Weyl sequence; 0 and 1 of whole types.

    Examples
    --------
    >>> pattern((2, 2)).round(4)
    array([[-1.    ,  0.2361],
           [-0.5279,  0.7082]], dtype=float32)
    """
    steps = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) * np.uint64(2654435769) % np.uint64(2**32)
    if np.issubdtype(dtype, np.integer):
        return (steps >> np.uint64(31)).astype(dtype).reshape(shape)
    return (steps.astype(float) / 2**31 - 1).astype(dtype).reshape(shape)


class OnnxGuard:
    """A guarded model in one ONNX graph.

    Parameters
    ----------
    content : bytes
        The graph, as ``outfield guard export`` writes it.
    manifest : Manifest, optional
        Of the bundle that holds it; by default that which it was exported from.

    Raises
    ------
    MissingExtra
        onnxruntime is not installed.
    UserError
        No graph of a guard, or one that scores its known inputs otherwise.

    Examples
    --------
    >>> guard = OnnxGuard.load("pets.onnx")  # doctest: +SKIP
    >>> guard(prepared).verdict  # doctest: +SKIP
    array(['id', 'ood'], dtype='<U10')
    """

    def __init__(self, content: bytes, manifest: Manifest | None = None) -> None:
        with reading("the graph", "an ONNX graph", REBUILD):
            self._session = session_of(content)
        with reading("the graph", "a graph of `outfield guard export`", REBUILD):
            self._facts = facts_of(content, self._session.get_modelmeta().custom_metadata_map[ENTRY])
            self.manifest = manifest or self._facts.manifest
            self._inputs = {one.name: one for one in self._session.get_inputs()}
            self._outputs = [one.name for one in self._session.get_outputs()]
            self._check()

    @classmethod
    def load(cls, path: Path | str) -> OnnxGuard:
        """From an ``.onnx`` file, or the folder of a bundle that holds one, whose digest it must have."""
        path = Path(path)
        if path.is_dir():
            return cls._of_bundle(path)
        if path.name == ONNX and (path.parent / MANIFEST).is_file():
            return cls._of_bundle(path.parent)
        if not path.is_file():
            raise UserError(f"Expected an ONNX file at {path}, but there is none. Check the path.")
        with reading(path, "an ONNX graph", REBUILD):
            content = content_of(path, MOST_ONNX)
        return cls(content)

    @classmethod
    def _of_bundle(cls, folder: Path) -> OnnxGuard:
        with reading(folder / MANIFEST, "a bundle's manifest", "Build the bundle again, or copy it again."):
            manifest = manifest_of(content_of(folder / MANIFEST, MOST_MANIFEST))
        if manifest.onnx is None:
            raise UserError(
                f"Expected a bundle with a graph, but {folder} holds none. Make one: outfield guard export {folder}."
            )
        with reading(folder / ONNX, "a bundle's graph", REBUILD):
            return cls(onnx_of(folder, manifest.onnx), manifest)

    @property
    def bundle(self) -> OnnxGuard:
        """Itself: it holds what its bundle promises."""
        return self

    @property
    def threshold(self) -> float:
        """The score above which an input is called OOD."""
        return self._facts.threshold

    @property
    def preprocess(self) -> str:
        """In words: what was done to the items before they are the graph's input."""
        return self._facts.preprocess

    @cached_property
    def ladder(self) -> Ladder:
        """Thresholds of several rates that hold at once."""
        return self._rungs(self._facts.ladder)

    def monitor(self, *, run_length: float = 100_000, mirror: bool = False) -> Monitor:
        """A monitor of a stream of scores; with ``mirror`` one of negated scores."""
        return Monitor(self._rungs(self._facts.mirror if mirror else self._facts.ladder), run_length=run_length)

    def _rungs(self, values: Array) -> Ladder:
        part = self.manifest.ladder
        return Ladder(np.array(part.rates), values, part.n, part.delta)

    def __call__(self, inputs: Array) -> Answers:
        """Answers to prepared inputs [n, ...]: what the model's own preprocessing gives (see ``preprocess``).

        Raises
        ------
        UserError
            No inputs, inputs of another shape, or fractions where the graph reads whole numbers.
        """
        if list(self._inputs) != ["inputs"]:
            raise UserError(
                f"Expected {' and '.join(self._inputs)}, for this graph holds no model, but got inputs. Send those."
            )
        found = self._answered({"inputs": inputs})
        return Answers(self._named(found), _verdicts(found))

    def score(self, _: None = None, **fields: Any) -> Verdicts:
        """Scores, p and verdicts of ``logits`` [n, C] and ``features`` [n, D], by a graph without the model."""
        if "inputs" in self._inputs:
            raise UserError("Expected inputs, for this graph holds the model, but got its outputs. Send inputs.")
        if lacks := [name for name in self._inputs if name not in fields]:
            raise UserError(f"Expected {' and '.join(self._inputs)}, but there is no {lacks[0]}. Send all.")
        return _verdicts(self._answered({name: fields[name] for name in self._inputs}))

    def _answered(self, fields: Mapping[str, Any]) -> dict[str, Array]:
        given = {name: self._typed(name, values) for name, values in fields.items()}
        rows = {name: len(values) for name, values in given.items()}
        if len(set(rows.values())) > 1:
            raise UserError(f"Expected as many rows of each, but got {rows}. Send those of the same inputs.")
        if not (n := next(iter(rows.values()))):
            raise UserError("Expected inputs to answer, but got none. Pass at least one.")
        parts = [self._run({k: v[start : start + BATCH] for k, v in given.items()}) for start in range(0, n, BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(given)), strict=True))

    def _typed(self, name: str, values: Any) -> Array:
        """Values in the type and shape that the graph reads: float16 is widened, nothing is rounded to whole."""
        asked = self._inputs[name]
        dtype, shape = DTYPES[asked.type], asked.shape[1:]
        values = np.asarray(values)
        if values.ndim != len(asked.shape) or any(
            isinstance(size, int) and size != got for size, got in zip(shape, values.shape[1:], strict=False)
        ):
            raise UserError(
                f"Expected {name} of shape [n, {', '.join(map(str, shape))}], but got {list(values.shape)}. "
                f"The graph reads what the model's preprocessing gives: {self.preprocess}."
            )
        if values.dtype.kind not in "fiub":
            raise UserError(f"Expected numbers as {name}, but got {values.dtype}. Send an array of numbers.")
        if np.issubdtype(dtype, np.integer) and values.dtype.kind == "f":
            raise UserError(f"Expected whole numbers as {name}, but got {values.dtype}. Send token ids, say.")
        typed: Array = values.astype(dtype)
        return typed

    def _named(self, found: Mapping[str, Array]) -> Array:
        """The predicted classes by name, where the model knows them; of a regressor its numbers."""
        if "logits" not in found:
            return found.get("predictions", np.full(len(found["score"]), None))
        number = found["logits"].argmax(axis=1)
        classes = self.manifest.model.classes
        return np.asarray(number if classes is None else np.array(classes, dtype=object)[number])

    def known(self) -> dict[str, Array]:
        """The inputs whose scores are known."""
        return {name: pattern(tuple(shape), DTYPES[self._inputs[name].type]) for name, shape in self.shapes.items()}

    @property
    def shapes(self) -> Mapping[str, list[int]]:
        """Of the inputs whose scores are known."""
        return self._facts.shapes

    def _check(self) -> None:
        found, expected = self._answered(self.known())["score"], self._facts.scores
        allowed = self.manifest.canaries.tolerance + NEAR * np.abs(expected)
        if not (np.abs(found - expected) <= allowed).all():
            raise UserError(
                "Expected the scores that this graph stores for its known inputs, but they differ by "
                f"{np.abs(found - expected).max():.3g}. It computes otherwise than Python did: use another "
                "version of onnxruntime, export it again, or serve the bundle with torch."
            )


def _verdicts(found: Mapping[str, Array]) -> Verdicts:
    return Verdicts.of(found["score"], found["p"], found["flag"])


def session_of(content: bytes) -> Any:
    """An onnxruntime session on the CPU.

    Raises
    ------
    MissingExtra
        onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingExtra("onnxruntime", extra="onnx") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
