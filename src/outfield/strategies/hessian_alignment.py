from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.strategies._domains import Penalised, by_domain, head_of, spread
from outfield.types import Batch


@dataclass(frozen=True)
class HessianAlignment(Penalised):
    """Domains are to agree in the slope and in the curvature of the head's loss [1].

    The mean loss over domains, plus ``hessian * spread(H_d g_d) + gradient * spread(g_d)``. ``spread`` is the mean
    squared distance to the mean over domains, g_d and H_d are gradient and Hessian of a domain's loss by the head's
    weight. ``H_d g_d`` is exact (``hgp``: ``|g| d|g|/dw``), or the diagonal of H_d takes its place, estimated by random
    signs (``hutchinson``).

    Parameters
    ----------
    hessian, gradient : float
        alpha and beta of the paper.
    estimate : {"hgp", "hutchinson"}
    draws : int
        Random signs of Hutchinson's estimate.
    weight : float
        Of both terms together.
    warm_up : float
        Share of the steps without the penalty.

    Examples
    --------
    >>> batch = Batch(torch.randn(8, 3), torch.eye(2)[[0, 1] * 4], groups=torch.tensor([0] * 4 + [1] * 4))
    >>> HessianAlignment().penalty(nn.Linear(3, 2), batch.x, batch).item() >= 0
    True

    References
    ----------
    [1] Hemati, Zhang, Estiri, Chen. Understanding Hessian Alignment for Domain Generalization. ICCV 2023.
    """

    hessian: float = 0.1
    gradient: float = 0.1
    estimate: Literal["hgp", "hutchinson"] = "hgp"
    draws: int = 10

    limits: ClassVar = {**Penalised.limits, "hessian": (0.0, 1e6), "gradient": (0.0, 1e6), "draws": (1, 10_000)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimate not in ("hgp", "hutchinson"):
            raise UserError(f"Expected the estimate hgp or hutchinson, but got {self.estimate!r}. Choose one.")

    def penalty(self, network: nn.Module, features: Tensor, batch: Batch) -> Tensor:
        head = head_of(network)
        slopes, curves = [], []
        for x, y in by_domain(features, batch):
            loss = functional.cross_entropy(head(x), y)
            (slope,) = torch.autograd.grad(loss, head.weight, create_graph=True)
            slopes.append(slope)
            curves.append(self._curvature(slope, head.weight))
        return self.hessian * spread(curves) + self.gradient * spread(slopes)

    def _curvature(self, slope: Tensor, weight: Tensor) -> Tensor:
        return hessian_gradient(slope, weight) if self.estimate == "hgp" else diagonal(slope, weight, self.draws)


def hessian_gradient(slope: Tensor, weight: Tensor) -> Tensor:
    """``H g`` of a loss with the gradient g (with its graph) at a weight: half the gradient of ``|g|^2``."""
    (product,) = torch.autograd.grad(slope.square().sum() / 2, weight, create_graph=True)
    return product


def diagonal(slope: Tensor, weight: Tensor, draws: int) -> Tensor:
    """Hutchinson's estimate of the Hessian's diagonal: the mean of ``r * H r`` over random signs r."""
    found = torch.zeros_like(weight)
    for _ in range(draws):
        signs = torch.randint(2, weight.shape, device=weight.device).to(weight.dtype) * 2 - 1
        (product,) = torch.autograd.grad((slope * signs).sum(), weight, create_graph=True)
        found = found + signs * product / draws
    return found
