from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._softmax import others
from outfield.detectors.base import Detector
from outfield.features.probes.base import Probe
from outfield.features.probes.odin import PerturbedLogits
from outfield.types import Outputs, State


@dataclass(frozen=True)
class ODIN(Detector):
    """Maximum softmax probability of a perturbed input at a high temperature, ``1 - max_c softmax(z(x') / T)_c`` [1].

    ``x' = x - epsilon sign(grad_x CE(z / T, argmax z)) / std`` comes from the probe ``odin``; float64, because at
    T = 1000 the scores differ in their fifth digit.

    Parameters
    ----------
    temperature : float
        T.
    epsilon : float
        Step, for pixels in [0, 1].

    Examples
    --------
    >>> import torch
    >>> odin = ODIN(temperature=1.0)
    >>> (probe,) = odin.probes()
    >>> odin.score(Outputs(layers={probe.key: torch.tensor([[0.0, 0.0], [9.0, 0.0]])}), {})
    tensor([5.0000e-01, 1.2339e-04], dtype=torch.float64)

    References
    ----------
    [1] Liang, Li, Srikant. Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks.
        ICLR 2018.
    """

    temperature: float = 1000.0
    epsilon: float = 0.0014

    needs: ClassVar[frozenset[str]] = frozenset({"odin"})
    information: ClassVar[str] = "outputs"
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "temperature": (1.0, 10.0, 100.0, 1000.0),
        "epsilon": (0.0014, 0.0028),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"temperature": (1e-6, 1e12), "epsilon": (0, 1)}

    def probes(self) -> tuple[Probe, ...]:
        return (PerturbedLogits(self.temperature, self.epsilon),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        return others(probe.values(out)[probe.key].double() / self.temperature)
