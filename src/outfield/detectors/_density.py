"""Generative detectors: minus the log density of a small network that is trained on ID features, or inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Density(Detector):
    """Minus the log density of what a detector needs, ``features`` or ``inputs``: its weights are its state.

    A subclass gives the ``network``, whose output for rows [n, ...] is their log density [n]. Rows are standardised
    before it, element by element, and the density is that of the rows themselves.

    Parameters
    ----------
    epochs : int
        Passes over the training rows, with Adam.
    batch : int
        Rows of a step.
    rate : float
        Learning rate.
    limit : int
        Training rows: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the first weights, the draw and the order.
    """

    epochs: int = 30
    batch: int = 128
    rate: float = 1e-3
    limit: int = 20_000
    seed: int = 0

    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "epochs": (1, 1e6),
        "batch": (1, 1e9),
        "rate": (1e-12, 1e3),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    @abstractmethod
    def network(self, shape: torch.Size) -> nn.Module:
        """A network, freshly drawn, that gives the log density of standardised rows [n, *shape]."""

    @property
    def _field(self) -> str:
        (name,) = self.needs
        return name

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank((self._field,), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        return self.learn(getattr(data.fold(self._bank).outputs(), self._field))

    @torch.inference_mode(mode=False)
    @torch.enable_grad()
    def learn(self, x: Tensor) -> State:
        """The weights of largest likelihood on rows [n, ...]; equal rows give equal weights."""
        x = x.float().clone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = _Standardised(self.network(x.shape[1:]), x.shape[1:]).to(x.device)
            network.see(x)
            self._descend(network, x)
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

    def _descend(self, network: nn.Module, x: Tensor) -> None:
        optimizer = torch.optim.Adam(network.parameters(), self.rate)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x)).to(x.device).split(self.batch):
                optimizer.zero_grad()
                (-network(x[rows]).mean()).backward()
                optimizer.step()

    def log_density(self, x: Tensor, state: State) -> Tensor:
        """``log p`` of rows [n, ...] under what was learned, [n]."""
        with torch.device("meta"):
            network = _Standardised(self.network(x.shape[1:]), x.shape[1:])
        density: Tensor = functional_call(network, state, (x.float(),))
        return density

    def score(self, out: Outputs, state: State) -> Tensor:
        return -self.log_density(getattr(out, self._field), state)


class _Standardised(nn.Module):
    """A network behind the standardisation of its rows: elements that hardly vary are measured by the others."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def see(self, x: Tensor) -> None:
        """Take mean and scale from rows."""
        deviation = x.std(0, correction=0)
        usual = deviation.square().mean().sqrt()
        self.mean.copy_(x.mean(0))
        self.scale.copy_(deviation.clamp(min=0.01 * float(usual)) if usual > 0 else torch.ones_like(deviation))

    def forward(self, x: Tensor) -> Tensor:
        density: Tensor = self.network((x - self.mean) / self.scale)
        return density - self.scale.log().sum()
