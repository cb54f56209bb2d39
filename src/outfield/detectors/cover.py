from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.detectors.msp import MSP
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.probes.base import Probe
from outfield.features.probes.corrupted import Corrupted
from outfield.registry import names
from outfield.types import Outputs, State


@dataclass(frozen=True)
class CoVer(Detector):
    """Mean of a detector's scores of an input and its corrupted versions, ``(s(x) + sum_c s(c(x))) / (|C| + 1)`` [1].

    Mild corruption takes away what an OOD input shares with a class in its high frequencies, and with it the
    confidence; an ID input keeps more of its own. The detector is fitted on clean inputs. Each corruption takes a
    forward pass.

    Parameters
    ----------
    base : Detector
        One that reads logits, features or head.
    corruptions : names of shifts
        With none, the score is the base's own.
    severity : int
        1 to 5.

    Raises
    ------
    UserError
        A base that asks the model itself or reads inputs; a corruption that is no shift.

    Examples
    --------
    >>> cover = CoVer()
    >>> (probe,) = cover.probes()
    >>> out = Outputs(logits=torch.tensor([[0.0, 0.0]]), layers={f"{probe.key}/logits": torch.tensor([[50.0, 0.0]])})
    >>> cover.score(out, {})
    tensor([0.2500], dtype=torch.float64)

    References
    ----------
    [1] Zhang, Zhu, He, Bai, Lu, Li, Chang, Han. What If the Input is Expanded in OOD Detection? NeurIPS 2024.
    """

    base: Detector = field(default_factory=MSP)
    corruptions: tuple[str, ...] = ("blur",)
    severity: int = 1

    needs: ClassVar[frozenset[str]] = frozenset({"corrupted"})
    information: ClassVar[str] = "outputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "corruptions": ((), ("blur",), ("jpeg",), ("gaussian_noise",), ("blur", "jpeg", "gaussian_noise")),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"severity": (1, 5)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base.probes() or not self.base.needs <= _READ:
            raise UserError(
                f"Expected a base that reads {', '.join(sorted(_READ))} alone, but {self.base.title} needs "
                f"{', '.join(sorted(self.base.needs))}. Wrap another detector."
            )
        if unknown := [name for name in self.corruptions if name not in names("shifts")]:
            raise UserError(
                f"Expected corruptions among {', '.join(names('shifts'))}, but got {', '.join(map(str, unknown))}. "
                "Name shifts that there are."
            )
        object.__setattr__(self, "information", self.base.information)
        if not self.corruptions:
            object.__setattr__(self, "needs", self.needs - {"corrupted"})

    def probes(self) -> tuple[Probe, ...]:
        return self._probes

    @property
    def _probes(self) -> tuple[Corrupted, ...]:
        return tuple(Corrupted(name, self.severity) for name in self.corruptions)

    def fit(self, data: FitData) -> State:
        return self.base.fit(data)

    def score(self, out: Outputs, state: State) -> Tensor:
        versions = [out, *(probe.outputs(out) for probe in self._probes)]
        return torch.stack([self.base.score(one, state) for one in versions]).mean(0)


_READ = frozenset({"logits", "features", "head"})
"""What the probe gives of a corrupted input."""
