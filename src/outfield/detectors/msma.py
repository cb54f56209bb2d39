from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from outfield.detectors._density import Trained
from outfield.detectors._small_pictures import at_most
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MSMA(Trained):
    """Multiscale score matching: minus the log density of the norms ``[sigma_l |s(x, sigma_l)|]_l`` of ID inputs [1].

    ``s(x, sigma)`` is a network that estimates the score, the gradient of the log density of inputs under Gaussian
    noise of deviation sigma. It is trained by denoising score matching, ``E |sigma s(x + sigma e, sigma) + e|^2``, at
    all scales at once [2]. The norms of the training inputs, without noise, get a Gaussian mixture.

    Parameters
    ----------
    scales : int
        L, the number of noise scales, in equal ratios from ``smallest`` to ``largest``.
    smallest, largest : float
        In deviations of the inputs.
    hidden : int
        Width of the network's hidden layers.
    components : int
        Of the mixture.
    side : int
        Pictures are averaged down to so many pixels an edge.

    Examples
    --------
    >>> out = Outputs(inputs=torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
    >>> from outfield.features.fit_data import FitData
    >>> msma = MSMA(epochs=40, components=1)
    >>> near, far = msma.score(Outputs(inputs=torch.tensor([[0.0, 0.5], [9.0, 9.0]])), msma.fit(FitData.of(out)))
    >>> bool(near < far)
    True

    References
    ----------
    [1] Mahmood, Oliva, Styner. Multiscale Score Matching for Out-of-Distribution Detection. ICLR 2021.
    [2] Song, Ermon. Generative Modeling by Estimating Gradients of the Data Distribution. NeurIPS 2019.
    """

    epochs: int = 200
    rate: float = 3e-3
    scales: int = 10
    smallest: float = 0.05
    largest: float = 5.0
    hidden: int = 256
    components: int = 5
    side: int = 16

    title: ClassVar[str] = "MSMA"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    pooled: ClassVar[bool] = True
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Trained.bounds,
        "scales": (1, 1000),
        "smallest": (1e-6, 1e6),
        "largest": (1e-6, 1e6),
        "hidden": (1, 1e6),
        "components": (1, 1000),
        "side": (1, 1e4),
    }

    def rows(self, out: Outputs) -> Tensor:
        return at_most(self.side, super().rows(out))

    def network(self, shape: torch.Size) -> nn.Module:
        sigmas = torch.logspace(0, 1, self.scales, base=self.largest / self.smallest) * self.smallest
        return _ScoreNetwork(shape.numel(), self.hidden, sigmas)

    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        assert isinstance(network, _ScoreNetwork)
        flat, noise = x.flatten(1), torch.randn(x.flatten(1).shape).to(x.device)
        scale = torch.randint(self.scales, (len(x),)).to(x.device)
        sigma = network.sigmas[scale, None]
        return (network.scaled(flat + sigma * noise, scale) + noise).square().sum(1).mean()

    def norms(self, x: Tensor, state: State) -> Tensor:
        """``sigma_l |s(x, sigma_l)|`` of inputs at each scale, [n, L]."""
        found: Tensor = self.answers(x, state)
        return found

    def learn(self, x: Tensor, labels: Tensor | None = None) -> State:
        state = super().learn(x, labels)
        return state | _mixture(self.norms(x, state).double(), self.components, self.seed)

    def score(self, out: Outputs, state: State) -> Tensor:
        norms = self.norms(self.rows(out), state).double()
        whitened = [norms @ one - mean for one, mean in zip(state["whiteners"], state["means"], strict=True)]
        logs = state["logs"] - torch.stack([one.square().sum(1) for one in whitened], dim=1) / 2
        return -torch.logsumexp(logs, dim=1)


class _ScoreNetwork(nn.Module):
    """``sigma s(x, sigma)`` of flat rows at numbered scales; called, the norms of a row at each scale, [n, L]."""

    sigmas: Tensor

    def __init__(self, dim: int, hidden: int, sigmas: Tensor) -> None:
        super().__init__()
        self.register_buffer("sigmas", sigmas)
        self.first, self.second, self.last = nn.Linear(dim, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, dim)
        self.scale1, self.scale2 = nn.Embedding(len(sigmas), hidden), nn.Embedding(len(sigmas), hidden)

    def scaled(self, x: Tensor, scale: Tensor) -> Tensor:
        """``sigma s(x, sigma)``, [n, D], of rows each at its scale."""
        unit = x / (1 + self.sigmas[scale, None].square()).sqrt()
        hidden = nn.functional.silu(self.first(unit) + self.scale1(scale))
        hidden = nn.functional.silu(self.second(hidden) + self.scale2(scale))
        sigma = self.sigmas[scale, None]
        linear: Tensor = self.last(hidden) - sigma / (1 + sigma.square()).sqrt() * unit
        return linear

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        numbers = torch.arange(len(self.sigmas), device=x.device)
        return torch.stack([self.scaled(flat, number.expand(len(flat))).norm(dim=1) for number in numbers], dim=1)


def _mixture(norms: Tensor, components: int, seed: int) -> State:
    """Whiteners, whitened means, and log weights with log heights of a Gaussian mixture of rows [n, L]."""
    rows = norms.cpu().numpy()
    unit = max(float(norms.std(0).square().mean().sqrt()), 1e-12)
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(min(components, len(rows)), reg_covar=1e-4 * unit**2, random_state=seed).fit(rows)
    like: dict[str, Any] = {"dtype": torch.float64, "device": norms.device}
    whiteners = torch.as_tensor(fitted.precisions_cholesky_, **like)
    means = torch.as_tensor(fitted.means_, **like)
    heights = whiteners.diagonal(dim1=1, dim2=2).log().sum(1) - norms.shape[1] * math.log(2 * math.pi) / 2
    return {
        "whiteners": whiteners,
        "means": (means[:, None] @ whiteners)[:, 0],
        "logs": torch.as_tensor(fitted.weights_, **like).log() + heights,
    }
