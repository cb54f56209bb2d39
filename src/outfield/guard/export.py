"""A bundle as one ONNX graph: model, detector, threshold and ladder, so that it is served without torch."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.guard.bundle import Bundle
from outfield.guard.guarded import Guarded
from outfield.guard.onnx_backend import DTYPES, ENTRY, OUTPUTS, Facts, OnnxGuard, pattern
from outfield.guard.verdicts import Verdicts
from outfield.models.base import Model
from outfield.models.libraries import library
from outfield.models.preprocess import shown
from outfield.types import Array, Outputs

OPSET = 17
KNOWN = 4
"""Inputs whose scores the graph's metadata hold."""
COMPARED = 256
"""Items that are compared at most."""
CLOSE = 1e-3
"""Of the calibration scores' standard deviation: how far a score of the graph may be off."""


@dataclass(frozen=True)
class Graph:
    """An exported graph, and how its answers compare with those of Python.

    Parameters
    ----------
    content : bytes
    compared : int
        Items that both answered.
    changed : int
        Verdicts or p that differ: scores within rounding of a threshold, as those of the calibration items are that
        the thresholds were taken from.
    largest : float
        The largest difference of a score, in standard deviations of the calibration scores.
    """

    content: bytes
    compared: int
    changed: int
    largest: float


def export(bundle: Bundle, model: Any = None, data: Any = None, **options: Any) -> Graph:
    """The bundle as one ONNX graph, compared with Python before it is given out.

    Its input is what the model's preprocessing gives (``inputs`` [n, ...]), or without a model its ``logits`` and
    ``features``; its outputs are ``logits`` (or ``predictions``), ``score`` and ``p`` in float64, and ``flag``. The
    batch may have any size. A row that is not finite has a score and p of NaN.

    Parameters
    ----------
    model : Model or object, optional
        The model of the bundle, of torch; ``open_model`` takes ``options``.
    data : data, optional
        Some inputs of the model: the graph is traced with them and compared on at most 256 of them.

    Raises
    ------
    UserError
        Another model; one that is not of torch; a graph that cannot be made, or answers otherwise.
    MissingExtra
        onnx or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxruntime"):
        library(package, extra="onnx")
    made = _of_values(bundle) if model is None else _of_model(bundle, model, data, options)
    return made.compared(with_facts(made.traced(), made.facts()))


@dataclass(frozen=True)
class _Made:
    """What is traced, with the inputs that both sides answer."""

    bundle: Bundle
    module: nn.Module
    inputs: Mapping[str, Tensor]
    given: tuple[str, ...]
    preprocess: str
    model: Model | None = None

    def traced(self) -> bytes:
        """The graph of one batch, whose first axes are free."""
        outputs = [*self.given, *OUTPUTS]
        try:
            with self._quiet(), redirect_stdout(io.StringIO()), TemporaryDirectory() as folder:
                path = Path(folder, "graph.onnx")
                torch.onnx.export(
                    self.module, tuple(values[:3] for values in self.inputs.values()), path, dynamo=False,
                    opset_version=OPSET, input_names=list(self.inputs), output_names=outputs,
                    dynamic_axes={name: {0: "n"} for name in [*self.inputs, *outputs]},
                )  # fmt: skip
                return path.read_bytes()
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(
                f"Expected a model and a detector that torch can write as an ONNX graph, but it cannot: "
                f"{str(error).strip().splitlines()[0][:200]} Serve the bundle with torch, or export it without the "
                "model."
            ) from error

    def _quiet(self) -> ExitStack:
        """Without gradients, in evaluation mode, and without a word on sizes that are known."""
        stack = ExitStack()
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if self.model is not None:
            stack.enter_context(self.model.evaluating())
        return stack

    def python(self, inputs: Mapping[str, Tensor]) -> Verdicts:
        """What Python says of inputs."""
        with self._quiet():
            out = (
                _outputs(inputs)
                if self.model is None
                else self.model.forward(inputs["inputs"].to(_device(self.model))).to("cpu")
            )
        return self.bundle.score(out)

    def facts(self) -> Facts:
        """What the graph says of itself."""
        known = {
            name: torch.from_numpy(pattern((KNOWN, *values.shape[1:]), values.numpy().dtype))
            for name, values in self.inputs.items()
        }
        state = self.bundle.state
        return Facts(
            self.bundle.manifest, self.bundle.threshold, state["ladder"].numpy(), state["mirror"].numpy(),
            {name: list(values.shape) for name, values in known.items()}, self.python(known).score, self.preprocess,
        )  # fmt: skip

    def compared(self, content: bytes) -> Graph:
        """The graph, where its scores of the inputs, together and one by one, are those of Python."""
        guard = OnnxGuard(content)
        given = {name: values.numpy() for name, values in self.inputs.items()}
        found, expected = _answers(guard, given), self.python(self.inputs)
        single = _answers(guard, {name: values[:1] for name, values in given.items()})
        sd = self.bundle.spread
        largest = max(_gap(found.score, expected.score), _gap(single.score, expected.score[:1])) / sd
        if not largest <= CLOSE:
            raise UserError(
                f"Expected a graph that scores as Python does, but a score differs by {largest:.2g} standard "
                f"deviations of the calibration scores (allowed: {CLOSE:g}). Serve the bundle with torch."
            )
        same = (found.verdict == expected.verdict) & ((found.p == expected.p) | np.isnan(found.p))
        return Graph(content, len(same), int((~same).sum()), largest)


def _outputs(fields: Mapping[str, Tensor]) -> Outputs:
    return Outputs(fields.get("logits"), fields.get("features"))


def _gap(found: Array, expected: Array) -> float:
    """The largest difference; infinite where one is missing and the other is not."""
    if (np.isnan(found) != np.isnan(expected)).any():
        return float("inf")
    return float(np.nan_to_num(np.abs(found - expected)).max())


def _answers(guard: OnnxGuard, given: Mapping[str, Array]) -> Verdicts:
    return guard(given["inputs"]).verdicts if "inputs" in given else guard.score(None, **given)


def _of_values(bundle: Bundle) -> _Made:
    """The detector alone, on the canaries' logits and features."""
    names = [str(name) for name in ("logits", "features") if f"canary/{name}" in bundle.state and name in bundle.reads]
    inputs = {name: bundle.state[f"canary/{name}"].float() for name in names}
    return _Made(bundle, _OnValues(bundle, names).eval(), inputs, (), "none: it reads the model's outputs")


def _of_model(bundle: Bundle, model: Any, data: Any, options: dict[str, Any]) -> _Made:
    if data is None:
        raise UserError("Expected some inputs of the model to trace it with, but got none. Pass data.")
    items = dataset(data)
    some = items.read(slice(0, min(COMPARED, len(items))))
    opened = Guarded(model, bundle, options).opened(some)
    if not isinstance(module := getattr(opened, "module", None), nn.Module):
        raise UserError(
            f"Expected a model of torch, but {opened.name!r} is none, and cannot be traced. Export without a model: "
            "the graph then reads its logits and features."
        )
    with torch.no_grad(), opened.evaluating():
        inputs = opened.prepare(some)
        out = opened.forward(inputs[:3])
    if str(inputs.cpu().numpy().dtype) not in {np.dtype(one).name for one in DTYPES.values()}:
        raise UserError(f"Expected a model that reads numbers, but it reads {inputs.dtype}. Serve it with torch.")
    given = tuple(name for name in ("logits", "predictions") if name in out.present)
    graph = _OnInputs(bundle, opened, module, given).eval()
    return _Made(bundle, graph, {"inputs": inputs}, given, shown(getattr(opened, "preprocess", None)), opened)


def _device(model: Model) -> Any:
    return getattr(model, "device", "cpu")


class _Judged(nn.Module):
    """Score, p and flag of outputs, as the bundle says them."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.bundle = bundle

    def judged(self, out: Outputs) -> tuple[Tensor, Tensor, Tensor]:
        spoilt = self._spoilt(out)
        score = self.bundle.tensor(_clean(out, spoilt)).masked_fill(spoilt, torch.nan)
        rates = torch.tensor(self.bundle.manifest.ladder.rates, dtype=torch.float64)
        p = torch.where(score[:, None] > self.bundle.state["ladder"], rates, torch.ones_like(rates)).amin(1)
        return score, torch.where(torch.isnan(score), score, p), score > self._limit(out)

    def _spoilt(self, out: Outputs) -> Tensor:
        """Rows that are not finite in what the detector reads; inf - inf is NaN."""
        read = [getattr(out, name) for name in sorted(self.bundle.detector.needs & {"logits", "features"})]
        return torch.stack([torch.isnan(values - values).any(1) for values in read]).any(0)

    def _limit(self, out: Outputs) -> Tensor:
        if "classes" not in self.bundle.state:
            return self.bundle.state["threshold"]
        return self.bundle.state["classes"][out.logits.argmax(1)]


def _clean(out: Outputs, rows: Tensor) -> Outputs:
    return out.with_fields(
        **{n: getattr(out, n).masked_fill(rows[:, None], 0.0) for n in ("logits", "features") if n in out.present}
    )


class _OnInputs(_Judged):
    def __init__(self, bundle: Bundle, model: Model, module: nn.Module, given: tuple[str, ...]) -> None:
        super().__init__(bundle)
        self.model, self.module, self.given = model, module, given

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        out = self.model.forward(inputs).to("cpu")
        return *(getattr(out, name) for name in self.given), *self.judged(out)


class _OnValues(_Judged):
    def __init__(self, bundle: Bundle, names: list[str]) -> None:
        super().__init__(bundle)
        self.names = names

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return self.judged(_outputs(dict(zip(self.names, values, strict=True))))


def with_facts(graph: bytes, facts: Facts) -> bytes:
    """The graph with what it says of itself behind it: messages of protobuf that follow each other are one."""
    onnx = library("onnx", extra="onnx")
    facts = replace(facts, sha256=hashlib.sha256(graph).hexdigest(), size=len(graph))
    entry = onnx.StringStringEntryProto(key=ENTRY, value=facts.text())
    return graph + bytes(onnx.ModelProto(metadata_props=[entry]).SerializeToString())
