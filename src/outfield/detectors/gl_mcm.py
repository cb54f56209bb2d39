from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._cosines import cosines
from outfield.detectors.base import Detector
from outfield.features.moments import unit
from outfield.features.probes.base import Probe
from outfield.features.probes.regions import Regions
from outfield.types import Outputs, State


@dataclass(frozen=True)
class GLMCM(Detector):
    """Maximum concept matching of a picture and of its best region, ``-(max_c p_c + weight max_(r, c) p_rc)`` [1].

    p is the softmax of cosines to the classes' texts over T, of the picture and of each region. With weight zero it
    ranks as ``mcm`` does.

    Parameters
    ----------
    weight : float
        Of the regions.
    temperature : float

    References
    ----------
    [1] Miyai, Yu, Irie, Aizawa. GL-MCM: Global and Local Maximum Concept Matching for Zero-Shot Out-of-Distribution
        Detection. IJCV 2025.
    """

    weight: float = 1.0
    temperature: float = 1.0

    title: ClassVar[str] = "GL-MCM"
    needs: ClassVar[frozenset[str]] = frozenset({"features", "head", "regions"})
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"temperature": (0.01, 0.1, 1.0), "weight": (0.5, 1.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"weight": (0.0, 1e6), "temperature": (1e-6, 1e6)}

    def probes(self) -> tuple[Probe, ...]:
        return (Regions(),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        values = probe.values(out)[probe.key]
        regions = unit(values.flatten(0, 1)).view(values.shape)
        local = (regions @ unit(out.head.weight.to(regions.dtype)).T).double() / self.temperature
        whole = (cosines(out).double() / self.temperature).softmax(1).amax(1)
        return -whole - self.weight * local.softmax(2).amax(dim=(1, 2))
