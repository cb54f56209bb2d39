from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield.data.base import Shift
from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.registry import create
from outfield.types import Outputs


@dataclass(frozen=True)
class Corrupted(Probe):
    """What the model says of the same pictures under a covariate shift: ``KEY/logits`` and ``KEY/features``.

    The prepared input is brought back to [0, 1] by the preprocessing's mean and deviation, shifted, and prepared again.
    What is random in a shift is seeded by the picture itself, so that a picture has one shifted version.

    Parameters
    ----------
    shift : str
        The name of a shift.
    severity : int
        1 to 5.

    Raises
    ------
    UserError
        Inputs that are no pictures in [0, 1] behind the preprocessing.

    Examples
    --------
    >>> Corrupted("jpeg", severity=2).key, Corrupted.passes
    ('corrupted(shift=jpeg,severity=2)', 1)
    """

    shift: str = "blur"
    severity: int = 1

    passes: ClassVar[int] = 1
    forwards: ClassVar[int] = 1
    needs_pictures: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        mean, deviation = (one.to(x) for one in (model.input_mean, model.input_std))
        with torch.no_grad():
            pictures = (x.detach() * deviation + mean).cpu() if x.ndim == _PICTURES else x
            _check(pictures)
            found = model.forward((self._shifted(pictures).to(x) - mean) / deviation)
        return {f"{self.key}/{name}": getattr(found, name) for name in _FIELDS if found.has(name)}

    def outputs(self, out: Outputs) -> Outputs:
        """The outputs that this probe left in ``out.layers``, with the head of ``out``."""
        found = self.values(out)
        logits, features = (found.get(f"{self.key}/{name}") for name in _FIELDS)
        return Outputs(logits, features, head=out.head if out.has("head") else None)

    def _shifted(self, pictures: Tensor) -> Tensor:
        shift: Shift = create("shifts", self.shift)
        channels_last = pictures.float().permute(0, 2, 3, 1).contiguous().numpy()
        shifted = [shift.apply(one.clip(0, 1), self.severity, _rng(one)) for one in channels_last]
        return torch.from_numpy(np.stack(shifted)).permute(0, 3, 1, 2)


_FIELDS = ("logits", "features")
_PICTURES = 4
"""Dimensions of a batch of pictures."""


def _rng(picture: NDArray[np.float32]) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(np.rint(255 * picture).astype(np.uint8).tobytes()))


def _check(pictures: Tensor) -> None:
    if pictures.ndim != _PICTURES or not pictures.is_floating_point() or pictures.shape[1] not in (1, 3):
        raise UserError(
            f"Expected pictures [n, C, H, W] to corrupt, with 1 or 3 channels, but got {list(pictures.shape)}. "
            "Leave out detectors that corrupt inputs."
        )
    low, high = float(pictures.min()), float(pictures.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise UserError(
            f"Expected pictures in [0, 1] behind the preprocessing, but got {low:.2f} to {high:.2f}. Pass the mean and "
            "std of the model to its preprocessing, and pictures that are not normalised."
        )


_ROUNDING = 1e-3
"""How far beyond [0, 1] rounding may take a number."""
