"""What a bundle says of itself: the detector, the model that it belongs to, its calibration, and what it promises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from outfield import keys

FORMAT: Literal["outfield.guard/1"] = "outfield.guard/1"
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


class ModelPart(_Part):
    """The model that the bundle belongs to."""

    adapter: Name
    id: Name
    digest: Name
    classes: list[Name] | None
    n_classes: Count | None
    feature_dim: Count | None
    dtype: Name


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

    ``digest`` covers all but itself and ``created``: equal model, data and settings give an equal digest.
    """

    format: Literal["outfield.guard/1"] = FORMAT
    min_reader: Count = READER
    outfield: Name
    created: Name = ""
    digest: Name = ""
    detector: DetectorPart
    state: StatePart
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
        return keys.key(**self.model_dump(exclude={"created", "digest"}))
