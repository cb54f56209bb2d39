from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.types import State
from outfield_science.detectors._one_class import OneClassMethod


@dataclass(frozen=True)
class RPO(OneClassMethod):
    """Random projection outlyingness, ``max_u |u.z - median| / MAD`` over random directions u [1, 2].

    Median and median absolute deviation are those of the training inputs along each direction.

    Parameters
    ----------
    projections : int
        Directions, drawn evenly on the sphere.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> from outfield.types import Outputs
    >>> method = RPO(variance=1.0)
    >>> state = method.fit(FitData.of(Outputs(inputs=torch.tensor([[-2.0], [-1.0], [0.0], [1.0], [2.0]]))))
    >>> method.score(Outputs(inputs=torch.tensor([[0.0], [3.0]])), state)
    tensor([0., 3.], dtype=torch.float64)

    References
    ----------
    [1] Liu, Zuo. Computing projection depth and its associated estimators. Statistics and Computing 2014.
    [2] Bauw et al. Near out-of-distribution detection for low-resolution radar micro-Doppler signatures. 2022.
    """

    projections: int = 1000

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {**OneClassMethod.bounds, "projections": (1, 1e7)}

    def learned(self, z: Tensor) -> State:
        chance = torch.Generator().manual_seed(self.seed)
        directions = torch.randn(z.shape[1], self.projections, generator=chance, dtype=torch.float64).to(z)
        directions = directions / directions.norm(dim=0)
        along = z @ directions
        middle = along.quantile(0.5, dim=0)
        spread = (along - middle).abs().quantile(0.5, dim=0).clamp(min=1e-4)
        return {"directions": directions, "median": middle, "mad": spread}

    def outlyingness(self, z: Tensor, state: State) -> Tensor:
        return ((z @ state["directions"] - state["median"]).abs() / state["mad"]).amax(1)
