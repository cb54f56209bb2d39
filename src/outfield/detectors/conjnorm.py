from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class ConjNorm(Detector):
    """Densities of the classes by a Bregman divergence of norms, ``-log sum_k exp(-D_k / t) / Phi_k`` [1].

    ``D_k = phi(a) - phi(b) - <grad phi(b), a - b>`` with ``phi = |.|_q^2 / 2``, whose conjugate is ``|.|_p^2 / 2`` with
    ``1 / p + 1 / q = 1``; a is the feature and b the class mean, both of p-norm one. ``Phi_k`` is the mean of
    ``exp(-D_k / t)`` over training rows: importance sampling with the training rows as draws of a flat proposal, as in
    the authors' code. At p = 2 the divergence is half the squared Euclidean distance.

    Parameters
    ----------
    p : float
        Above 1; the authors' for CIFAR-10.
    temperature : float
        t.
    limit : int
        Training rows that ``Phi`` is estimated from: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> train = Outputs(logits=torch.zeros(2, 2), features=torch.eye(2), labels=torch.tensor([0, 1]))
    >>> state = ConjNorm().fit(FitData.of(train))
    >>> ConjNorm().score(Outputs(features=torch.tensor([[9.0, 0.0], [9.0, 9.0]])), state).round(decimals=2)
    tensor([-0.6900,  5.3600], dtype=torch.float64)

    References
    ----------
    [1] Peng, Luo, Liu, Fang, Zhang, Liu. ConjNorm: Tractable Density Estimation for Out-of-Distribution Detection.
        ICLR 2024.
    """

    p: float = 2.2
    temperature: float = 0.05
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"p": (1.8, 2.0, 2.2, 2.5, 3.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "p": (1.001, 1e3),
        "temperature": (1e-6, 1e6),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return Moments(), self._bank

    @property
    def _bank(self) -> Bank:
        return Bank(("features",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        means = of_norm_one(data.moments.class_means, self.p)
        logs = [self._log_densities(rows.features, means) for rows in data.fold(self._bank).chunks()]
        return {"means": means, "log_partition": log_partition(torch.cat(logs))}

    def score(self, out: Outputs, state: State) -> Tensor:
        means, partition = state["means"], state["log_partition"]

        def surprise(features: Tensor) -> Tensor:
            return -torch.logsumexp(self._log_densities(features, means) - partition, dim=1)

        return in_pieces(surprise, 2 * means.shape[1] + len(means), out.features)

    def _log_densities(self, features: Tensor, means: Tensor) -> Tensor:
        """``-D_k / t`` of each class, [n, C]."""
        return -bregman(of_norm_one(features.double(), self.p), means, self.p) / self.temperature


def of_norm_one(rows: Tensor, p: float) -> Tensor:
    """Rows over their p-norm.

    Examples
    --------
    >>> of_norm_one(torch.tensor([[3.0, 4.0]]), 2.0)
    tensor([[0.6000, 0.8000]])
    """
    return torch.nn.functional.normalize(rows, p=p, dim=1)


def bregman(rows: Tensor, means: Tensor, p: float) -> Tensor:
    """Bregman divergence of ``|.|_q^2 / 2`` between rows [n, D] and means [C, D], with q conjugate to p, [n, C].

    Examples
    --------
    >>> bregman(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2.0)
    tensor([[0., 1.]])
    """
    q = p / (p - 1)
    squares = rows.abs().pow(q).sum(1, keepdim=True).pow(2 / q)
    lengths = means.abs().pow(q).sum(1, keepdim=True).pow(1 / q)
    gradient = means.sign() * means.abs().pow(q - 1) * lengths.clamp(min=1e-300).pow(2 - q)
    return (squares + lengths.square().T) / 2 - rows @ gradient.T


def log_partition(log_densities: Tensor, log_proposal: float = 0.0) -> Tensor:
    """Log of the integral of densities [n, C], ``log mean exp(log density - log proposal)`` over draws, [C].

    Examples
    --------
    >>> log_partition(torch.zeros(4, 1), log_proposal=math.log(0.5)).exp()
    tensor([2.])
    """
    return torch.logsumexp(log_densities - log_proposal, dim=0) - math.log(len(log_densities))
