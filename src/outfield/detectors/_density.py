"""Detectors that train a small network in their fit, and generative ones among them: minus a log density."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Trained(Detector):
    """A detector whose state is a network that it trains on what it needs, ``features`` or ``inputs``.

    A subclass gives the ``network`` and its ``loss``. Rows are standardised before the network: element by element, or
    by one mean and one scale for all elements where ``pooled``.

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

    pooled: ClassVar[bool] = False
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
        """A network, freshly drawn, for standardised rows [n, *shape]."""

    @abstractmethod
    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        """What training lowers, of standardised rows [n, ...] and the numbers [n] of their classes among those seen."""

    @property
    def _field(self) -> str:
        (name,) = self.needs
        return name

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        labels = ("labels",) if "classes" in self.fits_with else ()
        return Bank((self._field, *labels), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        out = data.fold(self._bank).outputs()
        labels = out.labels.unique(return_inverse=True)[1] if "classes" in self.fits_with else None
        return self.learn(self.rows(out), labels)

    def rows(self, out: Outputs) -> Tensor:
        """What the network is given of outputs, [n, ...] in float32."""
        rows: Tensor = getattr(out, self._field)
        return rows.float()

    @torch.inference_mode(mode=False)
    @torch.enable_grad()
    def learn(self, x: Tensor, labels: Tensor | None = None) -> State:
        """The weights of the least loss on rows [n, ...]; equal rows give equal weights."""
        x = x.float().clone()
        labels = labels.clone() if labels is not None else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self._standardised(x.shape[1:]).to(x.device)
            network.see(x)
            x = network.standard(x).detach()
            self.begin(network.network, x, labels)
            self.descend(network.network, x, labels)
            self.settle(network.network, x)
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

    def begin(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> None:
        """What is set before training, from the standardised rows; nothing unless a subclass says so."""

    def descend(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> None:
        """Train the network on standardised rows."""
        optimizer = torch.optim.Adam(network.parameters(), self.rate)
        for rows in self.steps(x):
            optimizer.zero_grad()
            self.loss(network, x[rows], None if labels is None else labels[rows]).backward()
            optimizer.step()

    def steps(self, x: Tensor) -> list[Tensor]:
        """Numbers of the rows of each step, epoch by epoch."""
        orders = (torch.randperm(len(x)).to(x.device) for _ in range(self.epochs))
        return [rows for order in orders for rows in order.split(self.batch)]

    def settle(self, network: nn.Module, x: Tensor) -> None:
        """What is set when the network is trained, from the standardised rows; nothing unless a subclass says so."""

    def _standardised(self, shape: torch.Size) -> _Standardised:
        return _Standardised(self.network(shape), torch.Size([1] * len(shape)) if self.pooled else shape)

    def answers(self, x: Tensor, state: State, *arguments: Any) -> Any:
        """What the trained network, with further arguments, says of rows [n, ...]."""
        with torch.device("meta"):
            network = self._standardised(x.shape[1:])
        weights = {
            name: value for name, value in state.items() if name in ("mean", "scale") or name.startswith("network.")
        }
        return _holding(network, weights)(x.float(), *arguments)


@dataclass(frozen=True)
class Density(Trained):
    """Minus the log density of what a detector needs, ``features`` or ``inputs``: its weights are its state.

    A subclass gives the ``network``, whose output for standardised rows [n, ...] is their log density [n]; the score's
    density is that of the rows themselves.
    """

    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        found: Tensor = -network(x).mean()
        return found

    def log_density(self, x: Tensor, state: State) -> Tensor:
        """``log p`` of rows [n, ...] under what was learned, [n]."""
        found: Tensor = self.answers(x, state) - log_volume(x.shape[1:], state)
        return found

    def score(self, out: Outputs, state: State) -> Tensor:
        return -self.log_density(self.rows(out), state)


def log_volume(shape: torch.Size, state: State) -> Tensor:
    """The log volume in rows of shape ``shape`` of a unit of standardised ones."""
    return state["scale"].log().expand(shape).sum()


def _holding(network: nn.Module, weights: State) -> nn.Module:
    """The network with these weights, of whatever size; unlike a functional call it can be traced."""
    for name, value in weights.items():
        owner, _, own = name.rpartition(".")
        module = network.get_submodule(owner)
        learned = own in dict(module.named_parameters(recurse=False))
        setattr(module, own, nn.Parameter(value, requires_grad=False) if learned else value)
    return network


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
        x = x.flatten()[:, None] if self.mean.numel() == 1 else x
        deviation = x.std(0, correction=0)
        usual = deviation.square().mean().sqrt()
        self.mean.copy_(x.mean(0).view_as(self.mean))
        scale = deviation.clamp(min=0.01 * float(usual)) if usual > 0 else torch.ones_like(deviation)
        self.scale.copy_(scale.view_as(self.scale))

    def standard(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    def forward(self, x: Tensor, *arguments: Any) -> Any:
        return self.network(self.standard(x), *arguments)
