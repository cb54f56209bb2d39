from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._softmax import others
from outfield.detectors.base import Detector
from outfield.features.probes.base import Probe
from outfield.features.probes.iodin import OneNumberPerturbed
from outfield.types import Outputs, State


@dataclass(frozen=True)
class IODIN(Detector):
    """ODIN with its step on one number of the input alone, ``1 - max_c softmax(z(x') / T)_c`` [1].

    The number is that of the largest gradient of ``CE(z / T, argmax z)``; the probe ``iodin`` gives ``z(x')``.

    Parameters
    ----------
    temperature : float
        T.
    epsilon : float
        Step, for pixels in [0, 1].

    Examples
    --------
    >>> import torch
    >>> iodin = IODIN(temperature=1.0)
    >>> (probe,) = iodin.probes()
    >>> iodin.score(Outputs(layers={probe.key: torch.tensor([[0.0, 0.0], [9.0, 0.0]])}), {})
    tensor([5.0000e-01, 1.2339e-04], dtype=torch.float64)

    References
    ----------
    [1] Regmi. Going Beyond Conventional OOD Detection. arXiv 2411.10794, 2024.
    """

    temperature: float = 1000.0
    epsilon: float = 0.0014

    title: ClassVar[str] = "i-ODIN"
    needs: ClassVar[frozenset[str]] = frozenset({"iodin"})
    information: ClassVar[str] = "outputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "temperature": (1.0, 10.0, 100.0, 1000.0),
        "epsilon": (0.0014, 0.0028),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"temperature": (1e-6, 1e12), "epsilon": (0, 1)}

    def probes(self) -> tuple[Probe, ...]:
        return (OneNumberPerturbed(self.temperature, self.epsilon),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        return others(probe.values(out)[probe.key].double() / self.temperature)
