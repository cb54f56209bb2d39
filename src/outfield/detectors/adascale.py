from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors._mass import positive
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.probes.adascale import PerturbedFeatures
from outfield.features.probes.base import Probe
from outfield.types import Outputs, State

_PERCENTILES = (60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True)
class AdaSCALE(Detector):
    """Adaptive scaling, variant A: SCALE with a percentile for each row, ``-logsumexp(exp(r) W f + b)`` [1].

    ``r = sum(relu(f)) / sum(its k largest)`` with ``k = D - round(D P / 100)`` and
    ``P = p_min + (1 - F(Q)) (p_max - p_min)``. Q says how far the features move, to f', when the input's least
    important parts are perturbed (probe ``adascale``):
    ``Q = sum_(top k1 of f) relu(f') + weight sum_(top k2 of f) |f - f'|``; F is its distribution over held-out ID rows.
    In the 21 detectors of the benchmark that this project repeats, AdaSCALE-A takes the place of ATS, whose formula was
    not at hand.

    Parameters
    ----------
    p_min, p_max : float
        Percentiles, 0 to 100: the paper's for ResNet-50.
    k1, k2 : float
        Shares of the features.
    weight : float
        The paper's lambda.
    o : float
        Share of the input that is perturbed.
    limit : int
        Held-out rows that F is learned from: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        p_min is above p_max.

    Examples
    --------
    >>> from outfield.types import Head
    >>> ada = AdaSCALE(p_min=0, p_max=50)
    >>> (probe,) = ada.probes()
    >>> f = torch.tensor([[3.0, 1.0]])
    >>> out = Outputs(features=f, head=Head(torch.eye(2), torch.zeros(2)), layers={probe.key: f})
    >>> ada.score(out, {"shifts": torch.tensor([4.0])})
    tensor([-11.3815])

    References
    ----------
    [1] Regmi. AdaSCALE: Adaptive Scaling for OOD Detection. arXiv 2503.08023, 2025.
    """

    p_min: float = 80.0
    p_max: float = 85.0
    k1: float = 0.05
    k2: float = 0.01
    weight: float = 10.0
    o: float = 0.05
    limit: int = 5000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head", "adascale"})
    information: ClassVar[str] = "gradients"
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"p_min": _PERCENTILES[:-1], "p_max": _PERCENTILES[1:]}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "p_min": (0, 100),
        "p_max": (0, 100),
        "k1": (0, 1),
        "k2": (0, 1),
        "weight": (0, 1e6),
        "o": (0, 1),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p_min > self.p_max:
            raise UserError(f"Expected p_min up to p_max, but got {self.p_min} and {self.p_max}. Swap them.")

    def settings(self) -> Iterator[Self]:
        pairs = ((low, high) for low in self.grid["p_min"] for high in self.grid["p_max"] if low < high)
        return (replace(self, p_min=low, p_max=high) for low, high in pairs)

    def probes(self) -> tuple[Probe, ...]:
        return (PerturbedFeatures(self.o),)

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        (probe,) = self.probes()
        return (Bank(("features", probe.key), limit=self.limit, seed=self.seed, split="val"),)

    def fit(self, data: FitData) -> State:
        (bank,) = self.folds()
        return {"shifts": self._shift(data.fold(bank).outputs()).sort().values}

    def score(self, out: Outputs, state: State) -> Tensor:
        r = _ratio_at(positive(out.features), self._percentile(out, state["shifts"].to(out.features.dtype)))
        return -torch.logsumexp(out.head(out.features * r.exp()), dim=1)

    def _percentile(self, out: Outputs, shifts: Tensor) -> Tensor:
        """P of each row, [n]."""
        rank = torch.searchsorted(shifts, self._shift(out), right=True) / len(shifts)
        return self.p_min + (1 - rank) * (self.p_max - self.p_min)

    def _shift(self, out: Outputs) -> Tensor:
        """Q of each row, [n]."""
        (probe,) = self.probes()
        f, moved = out.features, probe.values(out)[probe.key]
        top = f.topk(max(1, round(max(self.k1, self.k2) * f.shape[1])), dim=1).indices
        k1, k2 = (max(1, round(share * f.shape[1])) for share in (self.k1, self.k2))
        f, moved = f.gather(1, top), moved.gather(1, top)
        return moved[:, :k1].relu().sum(1) + self.weight * (f - moved)[:, :k2].abs().sum(1)


def _ratio_at(mass: Tensor, percentile: Tensor) -> Tensor:
    """``sum / sum of the k largest`` with each row's own k, [n, 1]; one where there is no mass."""
    dim = mass.shape[1]
    k = (dim - (dim * percentile / 100).round()).long().clamp(min=1)
    sums = mass.sort(dim=1, descending=True).values.cumsum(1)
    top = sums.gather(1, k[:, None] - 1)
    return torch.where(top > 0, sums[:, -1:] / top.clamp(min=torch.finfo(top.dtype).tiny), 1.0)
