from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from outfield.detectors._density import Trained
from outfield.detectors._small_pictures import at_most
from outfield.detectors._vae import HierarchicalVAE
from outfield.errors import UserError
from outfield.types import Outputs, State


@dataclass(frozen=True)
class HVAE(Trained):
    """Likelihood ratio of a hierarchical variational autoencoder of inputs, ``LLR^{>k} = L - L^{>k}`` [1].

    L is the evidence lower bound, where all latents come from the encoder. In ``L^{>k}`` the k lowest levels come from
    the prior that those above give. What only its own low-level latents rebuild, since its upper ones say little, is
    out of distribution. Pixels are grey levels between the least and the largest of the training inputs, with a
    Bernoulli likelihood.

    Parameters
    ----------
    skipped : int
        k, below the number of levels; with 0 the ratio is 0.
    latents : tuple of int
        Sizes of the levels, the lowest first.
    hidden : int
        Width of hidden layers.
    free : float
        Nats that a level's divergence from its prior may have for nothing in training, so that all levels are used.
    samples : int
        Draws of the latents, the same for every input.
    side : int
        Pictures are averaged down to so many pixels an edge.

    Raises
    ------
    UserError
        ``skipped`` leaves no level.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> hvae = HVAE(skipped=0, epochs=1)
    >>> hvae.score(Outputs(inputs=x[:2]), hvae.fit(FitData.of(Outputs(inputs=x))))
    tensor([0., 0.])

    References
    ----------
    [1] Havtorn, Frellsen, Hauberg, Maaløe. Hierarchical VAEs Know What They Don't Know. ICML 2021.
    """

    epochs: int = 100
    rate: float = 3e-3
    skipped: int = 1
    latents: tuple[int, ...] = (16, 8, 4)
    hidden: int = 128
    free: float = 2.0
    samples: int = 8
    side: int = 16

    title: ClassVar[str] = "HVAE"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    pooled: ClassVar[bool] = True
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"skipped": (1, 2)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Trained.bounds,
        "skipped": (0, 100),
        "hidden": (1, 1e6),
        "free": (0, 1e6),
        "samples": (1, 1e4),
        "side": (1, 1e4),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.skipped < len(self.latents):
            raise UserError(
                f"Expected skipped of HVAE below its {len(self.latents)} levels of latents, but got {self.skipped}. "
                "Skip fewer levels."
            )

    def rows(self, out: Outputs) -> Tensor:
        return at_most(self.side, super().rows(out))

    def network(self, shape: torch.Size) -> nn.Module:
        return HierarchicalVAE(shape.numel(), self.latents, self.hidden, self.samples)

    def begin(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> None:
        assert isinstance(network, HierarchicalVAE)
        network.see(x)

    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        assert isinstance(network, HierarchicalVAE)
        return network.cost(x, self.free)

    def bounds_of(self, x: Tensor, state: State, skipped: int = 0) -> Tensor:
        """``L^{>k}`` of standardised inputs, [n]; with k = 0 the evidence lower bound."""
        found: Tensor = self.answers(x, state, skipped)
        return found

    def score(self, out: Outputs, state: State) -> Tensor:
        x = self.rows(out)
        return self.bounds_of(x, state) - self.bounds_of(x, state, self.skipped)
