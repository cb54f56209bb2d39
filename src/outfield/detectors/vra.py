from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.quantiles import Activations
from outfield.types import Outputs, State


@dataclass(frozen=True)
class VRA(Detector):
    """Variational rectified activations, then energy: ``-logsumexp(W f' + b)`` [1], as published.

    ``f'`` is 0 where f is below alpha, beta where f is above beta, and ``f + gamma`` in between (VRA, and VRA+ where
    gamma is not 0); alpha and beta are quantiles of all activations of the training rows.

    Parameters
    ----------
    low, high : float
        The quantiles, from 0 to 1: the paper's for CIFAR-10; its other choice of ``high`` is 0.95.
    gamma : float
        Of VRA+: the paper takes 0.6 for CIFAR, 0.3 for ImageNet.

    Raises
    ------
    UserError
        ``low`` is above ``high``.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> out = Outputs(features=torch.tensor([[3.0, 1.0]]), head=head)
    >>> VRA().score(out, {"alpha": torch.tensor([1.5]), "beta": torch.tensor([2.0])})
    tensor([-2.1269])

    References
    ----------
    [1] Xu, Lian, Liu, Tao. VRA: Variational Rectified Activation for Out-of-distribution Detection. NeurIPS 2023.
    """

    low: float = 0.6
    high: float = 0.9
    gamma: float = 0.0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"high": (0.9, 0.95)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"low": (0, 1), "high": (0, 1), "gamma": (0, 1e6)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise UserError(f"Expected low up to high, but got {self.low} and {self.high}. Swap them.")

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Activations(),)

    def fit(self, data: FitData) -> State:
        return {"alpha": torch.tensor([data.quantile(self.low)]), "beta": torch.tensor([data.quantile(self.high)])}

    def score(self, out: Outputs, state: State) -> Tensor:
        f, alpha, beta = out.features, state["alpha"], state["beta"]
        rectified = torch.where(f > beta, beta, f + self.gamma).where(f >= alpha, 0.0)
        return -torch.logsumexp(out.head(rectified), dim=1)
