from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from outfield.detectors._gaussian import squares, tied
from outfield.detectors._wrapper import part, state_with
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Head, Outputs, State

PRIORS = ("gmm", "energy")
_SLOPE = 0.2
_Energy = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class HEAT(Detector):
    """Hybrid energies of features, priors with learned residuals, as ``1 / beta log mean_k exp(beta E_k)`` [1].

    The priors are ``-log sum_c exp(-|f - mu_c|^2_S / 2)`` of Gaussians that share the within-class covariance S, and
    the energy ``-logsumexp(W f + b)``. To each a small network of the standardised features adds a residual, in units
    of the prior's deviation over training rows. It is trained by contrastive divergence: it lowers the energy of
    training rows and raises that of rows which stochastic gradient Langevin steps reach from there, and is zero before
    the first step. Energies are standardised over training rows before they are composed. The authors' third prior
    reads the deviation of feature maps over space, which are not at hand here.

    Parameters
    ----------
    beta : float
        0 is the mean of the energies; above, the larger ones count for more, below, the smaller.
    priors : names among "gmm" and "energy"
    epochs : int
        Passes over the training rows, with Adam; with 0 the priors stand alone.
    hidden : int
        Width of the network's two hidden layers.
    steps, step, noise : int, float, float
        Langevin steps of a sample, their length, and the noise's deviation, in standardised features. Slopes are
        clipped to 1.
    penalty : float
        Weight of the squared residuals.
    rate, batch : float, int
        Of Adam.
    limit : int
        Training rows of the network: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the draw, the weights, the order and the noise.

    Raises
    ------
    UserError
        ``priors`` names none or others. By ``fit``, where a class has no rows.

    Examples
    --------
    >>> features = torch.tensor([[5.0, 0.1], [-5.0, -0.1], [5.0, -0.1], [-5.0, 0.1]])
    >>> train = Outputs(features, features, torch.tensor([0, 1, 0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> heat = HEAT(epochs=0)
    >>> out = Outputs(features=torch.tensor([[5.0, 0.0], [0.0, 0.0]]), head=train.head)
    >>> near, far = heat.score(out, heat.fit(FitData.of(train))).tolist()
    >>> near < far
    True

    References
    ----------
    [1] Lafon, Ramzi, Rambour, Thome. Hybrid Energy Based Model in the Feature Space for Out-of-Distribution Detection.
        ICML 2023.
    """

    beta: float = 0.0
    priors: tuple[str, ...] = PRIORS
    epochs: int = 3
    hidden: int = 64
    steps: int = 10
    step: float = 0.1
    noise: float = 0.1
    penalty: float = 0.1
    rate: float = 1e-3
    batch: int = 128
    limit: int = 1024
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head", "classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"beta": (-1.0, 0.0, 1.0), "epochs": (0, 3)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "beta": (-1e6, 1e6),
        "epochs": (0, 1e6),
        "hidden": (1, 1e6),
        "steps": (1, 1e6),
        "step": (0, 1e6),
        "noise": (0, 1e6),
        "penalty": (0, 1e6),
        "rate": (1e-12, 1e3),
        "batch": (1, 1e9),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.priors or not set(self.priors) <= set(PRIORS):
            raise UserError(f"Expected priors among {', '.join(PRIORS)}, but got {self.priors!r}. Name one or both.")

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return Moments(), self._bank

    @property
    def _bank(self) -> Bank:
        return Bank(("features",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        rows, moments, head = data.fold(self._bank).outputs().features.double(), data.moments, data.head
        own: State = {"mean": moments.mean, "scale": _scale(moments.covariance.diagonal()), **tied(moments)}
        own["units"] = torch.stack([_deviation(self.prior(name, rows, own, head)) for name in self.priors])
        parts = {name: self._learn(name, rows, own, head) for name in self.priors}
        state = state_with(own, **parts)
        energies = self.energies(rows, state, head)
        return {**state, "centres": energies.mean(0), "spreads": torch.stack([_deviation(one) for one in energies.T])}

    def prior(self, name: str, features: Tensor, state: State, head: Head) -> Tensor:
        """Energy of a prior, [n], of features in float64."""
        if name == "energy":
            return -torch.logsumexp(head(features), dim=1)
        return -torch.logsumexp(-squares(features @ state["whitener"], state["means"]) / 2, dim=1)

    def energies(self, features: Tensor, state: State, head: Head) -> Tensor:
        """Prior and residual of each component, [n, K], in float64."""
        rows = features.double()
        standard = (rows - state["mean"]) / state["scale"]
        found = []
        for name, unit in zip(self.priors, state["units"], strict=True):
            found.append(self.prior(name, rows, state, head) + unit * _residual(standard, part(name, state)))
        return torch.stack(found, dim=1)

    def score(self, out: Outputs, state: State) -> Tensor:
        head, width = out.head, 3 * len(state["mean"]) + len(state["means"])

        def composed(features: Tensor) -> Tensor:
            standardised = (self.energies(features, state, head) - state["centres"]) / state["spreads"]
            return composition(standardised, self.beta)

        return in_pieces(composed, width, out.features)

    def _network(self, dim: int) -> nn.Sequential:
        """Two hidden layers and an output that is zero, in float64: rounding of the sums would be trained on."""
        last = nn.Linear(self.hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first, second = nn.Linear(dim, self.hidden), nn.Linear(self.hidden, self.hidden)
        return nn.Sequential(first, nn.LeakyReLU(_SLOPE), second, nn.LeakyReLU(_SLOPE), last).double()

    @torch.inference_mode(mode=False)
    @torch.enable_grad()
    def _learn(self, name: str, rows: Tensor, own: State, head: Head) -> State:
        """Weights of one residual, by contrastive divergence."""
        state = {key: value.clone() for key, value in own.items()}
        plain = Head(head.weight.double().clone(), head.bias.double().clone())
        x = ((rows - own["mean"]) / own["scale"]).clone()
        unit = state["units"][self.priors.index(name)]

        def prior(x: Tensor) -> Tensor:
            return self.prior(name, x * state["scale"] + state["mean"], state, plain) / unit

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self._network(x.shape[1]).to(x.device)
            optimizer = torch.optim.Adam(network.parameters(), self.rate)
            for _ in range(self.epochs):
                for some in torch.randperm(len(x)).to(x.device).split(self.batch):
                    self._descend(network, optimizer, x[some], prior)
        return {key: value.detach().clone() for key, value in network.state_dict().items()}

    def _descend(self, network: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, prior: _Energy) -> None:
        sampled = self._langevin(network, real, prior)
        known, drawn = network(real).squeeze(1), network(sampled).squeeze(1)
        loss = known.mean() - drawn.mean() + self.penalty * (known.square() + drawn.square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _langevin(self, network: nn.Module, start: Tensor, prior: _Energy) -> Tensor:
        """Rows that Langevin steps down the energy reach."""
        x = start.clone()
        for _ in range(self.steps):
            x.requires_grad_()
            (slope,) = torch.autograd.grad((network(x).squeeze(1) + prior(x)).sum(), x)
            noise = torch.randn(x.shape, dtype=x.dtype).to(x.device)
            x = x.detach() - self.step * slope.clamp(-1, 1) + self.noise * noise
        return x


def composition(energies: Tensor, beta: float) -> Tensor:
    """``1 / beta log mean_k exp(beta E_k)`` of energies [n, K], their mean where beta is 0, [n].

    Examples
    --------
    >>> energies = torch.tensor([[0.0, 2.0]])
    >>> composition(energies, 0.0), composition(energies, 99.0).round(decimals=1), composition(energies, -99.0).round()
    (tensor([1.]), tensor([2.]), tensor([0.]))
    """
    if beta == 0:
        return energies.mean(1)
    count = torch.tensor(float(energies.shape[1]), dtype=energies.dtype, device=energies.device)
    return (torch.logsumexp(beta * energies, dim=1) - count.log()) / beta


def _residual(rows: Tensor, weights: State) -> Tensor:
    """The network's output for rows, [n]: by functions, which torch can write as a graph."""
    for layer in ("0", "2"):
        rows = leaky_relu(linear(rows, weights[f"{layer}.weight"], weights[f"{layer}.bias"]), _SLOPE)
    return linear(rows, weights["4.weight"], weights["4.bias"]).squeeze(1)


def _deviation(energies: Tensor) -> Tensor:
    return energies.std(correction=0).clamp(min=1e-12)


def _scale(variances: Tensor) -> Tensor:
    """Deviations of the features; those that hardly vary are measured by the others."""
    deviations = variances.clamp(min=0).sqrt()
    return deviations.clamp(min=float(0.01 * deviations.square().mean().sqrt()) or 1.0)
