"""A bundle: a folder with a fitted detector, its certified thresholds, and what they promise of which model.

It loads without training data, network or pickle. What is damaged, swapped, of a newer format, or scores its own
canaries otherwise is refused before the first answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from outfield import keys, registry
from outfield.detectors.base import Detector
from outfield.errors import UserError, reading
from outfield.guard.manifest import (
    MANIFEST,
    MOST_MANIFEST,
    ONNX,
    Manifest,
    OnnxPart,
    content_of,
    manifest_of,
    onnx_of,
)
from outfield.guard.monitor import Monitor
from outfield.guard.thresholds import Ladder
from outfield.guard.verdicts import Verdicts
from outfield.places import home
from outfield.store.write import atomically, write_text
from outfield.types import Array, Head, Outputs, State

STATE = "state.safetensors"
MOST_STATE, MOST_TENSORS = 4 * 2**30, 2_000
"""Bytes, and tensors, that are read at most."""
TOLERANCE = 1e-4
"""Of the calibration scores' standard deviation: how far a canary's score may be off."""
LEARNED = "learned/"
"""Before the names of what the detector learned."""
GUARD = ("threshold", "ladder", "mirror", "classes")
"""Names of thresholds: float64, and never read from decimal text."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A detector that was fitted, with thresholds that were certified.

    Parameters
    ----------
    manifest : Manifest
    state : mapping of name to tensor
    card : str
        The page of the model's card, where the bundle was made from one.
    onnx : bytes
        Model, detector and thresholds in one graph, where they were exported.

    Examples
    --------
    >>> bundle = Bundle.load("pets.guard")  # doctest: +SKIP
    >>> bundle.score(logits=logits).verdict  # doctest: +SKIP
    """

    manifest: Manifest
    state: State
    card: str = ""
    onnx: bytes = b""

    @cached_property
    def detector(self) -> Detector:
        """The detector, its parameters as they were fitted."""
        part = self.manifest.detector
        found: Detector = registry.create("detectors", part.name, **part.params)
        return found

    @cached_property
    def _learned(self) -> State:
        return {name.removeprefix(LEARNED): one for name, one in self.state.items() if name.startswith(LEARNED)}

    @cached_property
    def _head(self) -> Head | None:
        if "head/weight" not in self.state:
            return None
        return Head(self.state["head/weight"], self.state["head/bias"])

    @property
    def threshold(self) -> float:
        """The score above which an input is called OOD."""
        return float(self.state["threshold"])

    @cached_property
    def ladder(self) -> Ladder:
        """Thresholds of several rates that hold at once."""
        return self._rungs("ladder")

    def monitor(self, *, run_length: float = 100_000, mirror: bool = False) -> Monitor:
        """A monitor of a stream of scores; with ``mirror`` one of negated scores, for changes that move scores down."""
        return Monitor(self._rungs("mirror" if mirror else "ladder"), run_length=run_length)

    def _rungs(self, name: str) -> Ladder:
        part = self.manifest.ladder
        return Ladder(np.array(part.rates), self.state[name].numpy(), part.n, part.delta)

    def score(self, out: Outputs | None = None, **fields: Any) -> Verdicts:
        """Scores, p and verdicts of a model's outputs: no model is needed.

        Parameters
        ----------
        out : Outputs, or its fields ``logits`` [n, C] and ``features`` [n, D] as arrays or tensors

        Raises
        ------
        UserError
            A field that the detector needs is absent, or has another width than the model's.
        """
        given = _outputs(fields) if out is None else out
        return self.verdicts(self.scores(given), self._predicted(given))

    def _predicted(self, out: Outputs) -> Array | None:
        """The predicted class of each row, where thresholds are by class."""
        return out.logits.argmax(dim=1).cpu().numpy() if "classes" in self.state else None

    def scores(self, out: Outputs) -> Array:
        """The detector's scores [n] of a model's outputs; NaN where a row has values that are not finite."""
        self._check_widths(out)
        with torch.inference_mode():
            return np.asarray(self.tensor(out).cpu().numpy())

    def tensor(self, out: Outputs) -> Tensor:
        """The same as a tensor of float64."""
        out = out if self._head is None else out.with_fields(head=self._head)
        return self.detector.score(out, self._learned).double()

    @property
    def reads(self) -> frozenset[str]:
        """Of ``logits`` and ``features``, what the detector and its thresholds read."""
        asked = {*self.detector.needs, *({"logits"} if "classes" in self.state else ())}
        return frozenset(asked & {"logits", "features"})

    @property
    def spread(self) -> float:
        """The standard deviation of the calibration scores."""
        return self.manifest.canaries.tolerance / TOLERANCE

    def verdicts(self, scores: Any, predicted: Array | None = None) -> Verdicts:
        """What scores say; with thresholds by class, of the classes ``predicted`` [n]."""
        values = np.asarray(scores, dtype=float).ravel()
        limits = self.threshold if predicted is None else self.state["classes"].numpy()[predicted]
        return Verdicts.of(values, self.ladder.p(values), values > limits)

    def _check_widths(self, out: Outputs) -> None:
        model = self.manifest.model
        for name, width in (("logits", model.n_classes), ("features", model.feature_dim)):
            if name in out.present and width is not None and getattr(out, name).shape[1] != width:
                raise UserError(
                    f"Expected {name} of width {width}, as those of the model of this bundle, but got "
                    f"{getattr(out, name).shape[1]}. Pass the outputs of {model.id}."
                )

    def save(self, folder: Path | str) -> Path:
        """Write the bundle as a folder.

        Raises
        ------
        UserError
            The folder cannot be written.
        """
        folder = home(folder)
        with atomically(folder / STATE) as temporary:
            temporary.write_bytes(save(self.state))
        if self.card:
            write_text(self.card, folder / "card.html")
        if self.onnx:
            with atomically(folder / ONNX) as temporary:
                temporary.write_bytes(self.onnx)
        write_text(self.manifest.model_dump_json(indent=1) + "\n", folder / MANIFEST)
        return folder

    def with_onnx(self, content: bytes) -> Bundle:
        """The same bundle with a graph that was exported from it; its digest covers the graph."""
        part = OnnxPart(sha256=hashlib.sha256(content).hexdigest())
        return replace(self, manifest=self.manifest.model_copy(update={"onnx": part}).sealed(), onnx=content)

    @classmethod
    def of(cls, manifest: Mapping[str, Any], state: State, card: str = "") -> Bundle:
        """A bundle of its parts; the state's digest and shapes, and the manifest's digest, are put in."""
        state = {name: state[name].contiguous() for name in sorted(state)}
        content = save(state)
        part = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "tensors": {n: {"dtype": str(one.dtype), "shape": list(one.shape)} for n, one in state.items()},
            "contains_training_features": any(one.ndim > 1 and len(one) > 1_000 for one in state.values()),
        }
        drafted = Manifest.model_validate({**manifest, "state": part})
        return cls(drafted.sealed(), state, card)

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """A bundle from its folder, checked: limits, digests, schema, names, shapes, canaries.

        Raises
        ------
        UserError
            No bundle, a newer format, or one that is not as it was written; the message says which.
        """
        folder = home(folder)
        with reading(folder / MANIFEST, "a bundle's manifest", "Build the bundle again, or copy it again."):
            manifest = manifest_of(content_of(folder / MANIFEST, MOST_MANIFEST))
        with reading(folder / STATE, "a bundle's state", "Build the bundle again, or copy it again."):
            state = _state(content_of(folder / STATE, MOST_STATE), manifest)
        with reading(folder / ONNX, "a bundle's graph", "Build the bundle again, or copy it again."):
            graph = b"" if manifest.onnx is None else onnx_of(folder, manifest.onnx)
        found = cls(manifest, state, onnx=graph)
        found.check_canaries()
        return found

    def check_canaries(self) -> None:
        """Score the inputs whose scores are stored.

        Raises
        ------
        UserError
            A score is not as it was when the bundle was built: another version of a library, another machine, or code.
        """
        fields = {n.removeprefix("canary/"): one for n, one in self.state.items() if n.startswith("canary/")}
        expected = fields.pop("scores").numpy()
        found = self.scores(_outputs(fields))
        worst = float(np.abs(found - expected).max())
        if not worst <= self.manifest.canaries.tolerance:
            raise UserError(
                f"Expected the scores that this bundle stores for its canaries, but one differs by {worst:.3g} "
                f"(allowed: {self.manifest.canaries.tolerance:.3g}). The detector computes otherwise here: install "
                f"outfield {self.manifest.outfield}, or build the bundle again."
            )


def _outputs(fields: Mapping[str, Any]) -> Outputs:
    """Outputs of arrays or tensors by name."""
    known: dict[str, Any] = {name: torch.as_tensor(value) for name, value in fields.items()}
    return Outputs(**known)


def _state(content: bytes, manifest: Manifest) -> State:
    if hashlib.sha256(content).hexdigest() != manifest.state.sha256:
        raise ValueError("it is not as it was written, or belongs to another bundle")
    state: State = load(content)
    said = {name: (one.dtype, one.shape) for name, one in manifest.state.tensors.items()}
    if {name: (str(one.dtype), list(one.shape)) for name, one in state.items()} != said:
        raise ValueError("its tensors are not those that the manifest names")
    if len(state) > MOST_TENSORS:
        raise ValueError(f"it has {len(state)} tensors, more than {MOST_TENSORS}")
    for name in ("threshold", "ladder", "mirror", "canary/scores"):
        if name not in state or state[name].dtype != torch.float64:
            raise ValueError(f"it has no {name} in float64")
    return state


def code_of(detector: Detector) -> str:
    """Digest of the code that a detector's scores rest on."""
    return keys.of_code(*sorted(detector.code, key=lambda one: one.__qualname__))
