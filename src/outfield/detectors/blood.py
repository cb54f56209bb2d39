from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.features.probes.blood import JacobianNorms
from outfield.types import Outputs, State


@dataclass(frozen=True)
class BLOOD(Detector):
    """Roughness between layers: squared norms of the Jacobians of layers by those before, ``|dh_(l+1)/dh_l|_F^2`` [1].

    Training smooths a network where its training data lie, not elsewhere. Nothing is fitted and no training data are
    read; the probe ``blood`` estimates the norms by random projections.

    Parameters
    ----------
    of : "mean" or "last"
        The mean over all transitions, or that into the last layer: BLOOD-M and BLOOD-L of the paper.
    layers : names of layers
        In their order; empty for all that the model offers.
    projections : int
        Backward passes through the layers; the estimate's relative error falls as one over their root.
    seed : int
        Of the projections.

    Raises
    ------
    UserError
        ``of`` is something else.

    Examples
    --------
    >>> import torch
    >>> blood = BLOOD()
    >>> (probe,) = blood.probes()
    >>> blood.score(Outputs(layers={probe.key: torch.tensor([[1.0, 3.0], [2.0, 8.0]])}), {})
    tensor([2., 5.])

    References
    ----------
    [1] Jelenić, Jukić, Tutek, Puljiz, Šnajder. Out-of-Distribution Detection by Leveraging Between-Layer Transformation
        Smoothness. ICLR 2024.
    """

    of: Literal["mean", "last"] = "mean"
    layers: tuple[str, ...] = ()
    projections: int = 10
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"blood"})
    information: ClassVar[str] = "layers"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"any"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"of": ("mean", "last")}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"projections": (1, 1e6), "seed": (0, 2**62)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in ("mean", "last"):
            raise UserError(f"Expected of 'mean' or 'last' in BLOOD, but got {self.of!r}. Choose one of them.")

    def probes(self) -> tuple[Probe, ...]:
        return (JacobianNorms(self.layers, self.projections, self.seed),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        norms = probe.values(out)[probe.key]
        return norms.mean(1) if self.of == "mean" else norms[:, -1]
