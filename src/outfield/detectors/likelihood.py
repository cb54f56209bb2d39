from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from outfield.detectors._density import Density
from outfield.detectors._flow import RealNVP
from outfield.detectors._small_pictures import at_most
from outfield.detectors._vae import normal
from outfield.detectors._wrapper import part, state_with
from outfield.errors import UserError
from outfield.types import Outputs, State

CORRECTIONS = ("none", "complexity", "background")


@dataclass(frozen=True)
class Likelihood(Density):
    """Minus the log-likelihood of inputs under a flow, plain or corrected for how simple an input is.

    Plain likelihood gives simple pictures of other things more than those it was trained on [1]. ``complexity``
    subtracts the length of the input in a lossless code, PNG of 256 grey levels: ``-log2 p(x) - L(x)`` [2].
    ``background`` subtracts what a second flow says that is trained on inputs with pixels drawn anew:
    ``log p_0(x) - log p(x)`` [3].

    Parameters
    ----------
    correction : "none", "complexity" or "background"
    mutation : float
        Share of the pixels that are drawn anew, from all training pixels, for the background.
    noise : float
        Deviation of the Gaussian noise on standardised inputs in training, without which a flow of grey levels has
        no largest likelihood.
    couplings, hidden : int, int
        Layers of the flow; hidden units of the networks in each.
    side : int
        Pictures are averaged down to so many pixels an edge.

    Raises
    ------
    UserError
        ``correction`` is something else.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> plain = Likelihood(epochs=1)
    >>> near, far = plain.score(Outputs(inputs=torch.tensor([[0.0, 0.5], [9.0, 9.0]])),
    ...     plain.fit(FitData.of(Outputs(inputs=x))))
    >>> bool(near < far)
    True

    References
    ----------
    [1] Nalisnick et al. Do Deep Generative Models Know What They Don't Know? ICLR 2019.
    [2] Serrà et al. Input Complexity and Out-of-Distribution Detection with Likelihood-Based Generative Models.
        ICLR 2020.
    [3] Ren et al. Likelihood Ratios for Out-of-Distribution Detection. NeurIPS 2019.
    """

    epochs: int = 60
    correction: Literal["none", "complexity", "background"] = "none"
    mutation: float = 0.2
    noise: float = 0.1
    couplings: int = 6
    hidden: int = 128
    side: int = 16

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    pooled: ClassVar[bool] = True
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"correction": CORRECTIONS}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Density.bounds,
        "mutation": (0, 1),
        "noise": (0, 1e6),
        "couplings": (1, 1000),
        "hidden": (1, 1e6),
        "side": (1, 1e4),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.correction not in CORRECTIONS:
            raise UserError(
                f"Expected a correction among {', '.join(CORRECTIONS)}, but got {self.correction!r}. Choose one."
            )

    def rows(self, out: Outputs) -> Tensor:
        return at_most(self.side, super().rows(out))

    def network(self, shape: torch.Size) -> nn.Module:
        return _NormalFlow(shape.numel(), self.couplings, self.hidden)

    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        return super().loss(network, x + self.noise * torch.randn(x.shape).to(x.device), labels)

    def learn(self, x: Tensor, labels: Tensor | None = None) -> State:
        state = super().learn(x, labels) | {"ends": torch.stack([x.min(), x.max()]).float()}
        if self.correction == "background":
            return state_with(state, background=super().learn(self._mutated(x)))
        return state

    def _mutated(self, x: Tensor) -> Tensor:
        """Inputs with a share of their elements replaced by some of the training elements."""
        rng = torch.Generator().manual_seed(self.seed)
        where = (torch.rand(x.shape, generator=rng) < self.mutation).to(x.device)
        drawn = x.flatten()[torch.randint(x.numel(), x.shape, generator=rng).to(x.device)]
        return torch.where(where, drawn, x)

    def score(self, out: Outputs, state: State) -> Tensor:
        x = self.rows(out)
        plain = -self.log_density(x, state)
        if self.correction == "background":
            return plain + self.log_density(x, part("background", state))
        if self.correction == "complexity":
            return plain / math.log(2) - code_lengths(x, state["ends"])
        return plain


class _NormalFlow(nn.Module):
    def __init__(self, dim: int, couplings: int, hidden: int) -> None:
        super().__init__()
        self.flow = RealNVP(dim, couplings, hidden)

    def forward(self, x: Tensor) -> Tensor:
        z, volume = self.flow(x)
        density: Tensor = volume + normal(z, torch.zeros_like(z), z.new_zeros(()))
        return density


def code_lengths(x: Tensor, ends: Tensor) -> Tensor:
    """Bits of rows [n, ...] as PNG files of 256 grey levels between two ends; channels lie one below the other.

    Examples
    --------
    >>> simple, rich = torch.zeros(1, 8, 8), torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> short, long = code_lengths(torch.stack([simple, rich]), torch.tensor([0.0, 1.0]))
    >>> bool(short < long)
    True
    """
    low, high = ends
    grey = (255 * (x - low) / (high - low).clamp(min=1e-12)).clamp(0, 255).round()
    width = x.shape[-1]
    files = (np.array(row, dtype=np.uint8).reshape(-1, width) for row in grey.flatten(1).tolist())
    return torch.tensor([8.0 * _png(one) for one in files], device=x.device)


def _png(grey: Any) -> int:
    file = BytesIO()
    from PIL import Image

    Image.fromarray(grey).save(file, "png")
    return len(file.getvalue())
