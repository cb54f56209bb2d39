"""What a bundle says of itself: the detector, the model that it belongs to, its calibration, and what it promises."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from outfield import keys
from outfield.errors import Problems, UserError

FORMAT: Literal["outfield.guard/1"] = "outfield.guard/1"
MANIFEST, ONNX = "manifest.json", "model.onnx"
MOST_MANIFEST, MOST_ONNX = 2 * 2**20, 2 * 2**30
"""Bytes of each file that are read at most."""
READER = 1
"""Which bundles this version can read: those whose ``min_reader`` is at most this."""

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DetectorPart(_Part):
    """The detector, its parameters, and a digest of its code."""

    name: Name
    params: dict[str, Any]
    code: Name


class TensorPart(_Part):
    """Type and shape of one tensor of the state file."""

    dtype: Name
    shape: list[Count]


class StatePart(_Part):
    """The file of tensors: what the detector learned, thresholds, canaries."""

    file: Literal["state.safetensors"] = "state.safetensors"
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    tensors: dict[Name, TensorPart]
    contains_training_features: bool


class OnnxPart(_Part):
    """The file that holds model, detector and thresholds in one graph."""

    file: Literal["model.onnx"] = "model.onnx"
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ModelPart(_Part):
    """The model that the bundle belongs to."""

    adapter: Name
    id: Name
    digest: Name
    classes: list[Name] | None
    n_classes: Count | None
    feature_dim: Count | None
    dtype: Name
    device: Name
    """Its kind, as ``cpu`` or ``cuda``: another computes otherwise."""
    inputs: list[TensorPart] | None = None
    """Type and shape of two of its inputs, where these are arrays: a service opens the model with noise of such."""


class DataPart(_Part):
    """One of the data sets that the bundle was made from."""

    source: Name
    digest: Name
    n: Count
    groups: Count | None = None
    duplicates_removed: Count = 0


class PromisePart(_Part):
    """One promise, with how it is kept."""

    kind: Literal["far", "selective"]
    scope: Name
    alpha: Share
    delta: Share | None
    method: Name
    n: Count
    k: Count
    expected: float


class LadderPart(_Part):
    """The ladder's rates and its own delta; its thresholds stand in the state file."""

    rates: list[Share]
    n: Count
    delta: Share


class MeasuredPart(_Part):
    """How much of an OOD set is flagged at the threshold."""

    set: Name
    flagged: float
    low: float
    high: float
    n: Count


class CanaryPart(_Part):
    """Inputs whose scores are known: a bundle that scores them otherwise does not load."""

    n: Count
    tolerance: float


class Manifest(_Part):
    """A bundle's ``manifest.json``; no field beside these is read.

    ``digest`` covers all but itself, ``created`` and ``seal``: equal model, data and settings give an equal digest.
    ``seal`` covers the digest and ``created``, so that no byte of the content goes unread.
    """

    format: Literal["outfield.guard/1"] = FORMAT
    min_reader: Count = READER
    outfield: Name
    created: Name = ""
    digest: Name = ""
    seal: Name = ""
    detector: DetectorPart
    state: StatePart
    onnx: OnnxPart | None = None
    model: ModelPart
    fit: DataPart
    calibrate: DataPart
    checks: list[str]
    promises: list[PromisePart]
    ladder: LadderPart
    measured: list[MeasuredPart] = []
    limits: list[str]
    canaries: CanaryPart

    def sum(self) -> str:
        """The digest of its content."""
        return keys.key(**self.model_dump(exclude={"created", "digest", "seal"}))

    def stamp(self) -> str:
        """The seal of its digest and time."""
        return keys.key(digest=self.digest, created=self.created)

    def sealed(self) -> Manifest:
        """The same with its digest and the time put in."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        dated = self.model_copy(update={"digest": self.sum(), "created": now})
        return dated.model_copy(update={"seal": dated.stamp()})


def content_of(path: Path, most: int) -> bytes:
    """A file of a bundle, of at most so many bytes."""
    if not path.is_file():
        raise UserError(
            f"Expected a bundle in {path.parent}, but there is no {path.name}. Pass the folder of a bundle."
        )
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"it has {size:,} bytes, more than the {most:,} that are read")
    return path.read_bytes()


def manifest_of(content: bytes) -> Manifest:
    """The manifest of a file's content; ``ValueError`` or ``Problems`` where it is not as it was written."""
    raw = json.loads(content)
    if not isinstance(raw, dict):
        raise TypeError("it is no JSON object")
    if isinstance(asked := raw.get("min_reader"), int) and asked > READER:
        raise ValueError(f"it asks for reader {asked} of a newer outfield, and this one is {READER}")
    try:
        found = Manifest.model_validate(raw)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise Problems("The manifest", problems) from None
    if found.digest != found.sum():
        raise ValueError("it is not as it was written: its digest is another")
    if found.seal != found.stamp():
        raise ValueError("it is not as it was written: its seal is another")
    numbers = [found.canaries.tolerance, *(one.expected for one in found.promises)]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("it has numbers that are not finite")
    return found


def onnx_of(folder: Path, part: OnnxPart) -> bytes:
    """The graph of a bundle's folder; ``ValueError`` where it is not the one that the manifest names."""
    content = content_of(folder / ONNX, MOST_ONNX)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise ValueError("it is not as it was written, or belongs to another bundle")
    return content
