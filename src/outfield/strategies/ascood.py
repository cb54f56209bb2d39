from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._losses import evenness, soft_cross_entropy
from outfield.strategies._outliers import answers
from outfield.strategies.base import MakeNetwork, Optimizers, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ASCOOD(PictureStrategy):
    """Outliers are made of the training pictures, without what tells their class, and answered evenly [1].

    The pixels that tell the class are those of the largest gradient of its logit. ``shuffle`` permutes them among
    themselves; ``gradient`` adds ``alpha`` times the gradient to them, alpha going from ``first`` to ``last`` over
    the run. Then ``CE(x, y) + weight * KL(uniform | p(outlier))``. Features are standardised for each input before the
    head, ``sigma (f - mean f) / std f``, so that their length does not count.

    Parameters
    ----------
    outliers : {"shuffle", "gradient"}
    share : float
        Of the pixels, .1 in OpenOOD.
    weight : float
    sigma : float
        Length that features have, over the root of their number.
    first, last : float
        Of alpha; 10 in OpenOOD.

    Examples
    --------
    >>> picture = torch.arange(4.0).view(1, 1, 2, 2)
    >>> pushed(picture, torch.tensor([[[[0.0, 0.0], [-1.0, 0.5]]]]), share=0.25, alpha=0.5)
    tensor([[[[0.0000, 1.0000],
              [1.5000, 3.0000]]]])

    References
    ----------
    [1] Regmi. Going Beyond Conventional OOD Detection. arXiv 2411.10794, 2024.
    """

    outliers: Literal["shuffle", "gradient"] = "gradient"
    share: float = 0.1
    weight: float = 1.0
    sigma: float = 0.5
    first: float = 10.0
    last: float = 10.0

    family: ClassVar[str] = "outlier exposure"
    limits: ClassVar = {
        "share": (0.0, 1.0),
        "weight": (0.0, 100.0),
        "sigma": (1e-3, 1000.0),
        "first": (0.0, 1e6),
        "last": (0.0, 1e6),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outliers not in ("shuffle", "gradient"):
            raise UserError(f"Expected outliers by shuffle or gradient, but got {self.outliers!r}. Choose one.")

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        name, head = last_linear(network)
        return _heads.with_head(network, name, nn.Sequential(_Standardised(self.sigma), head))

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        alpha = self.last + (self.first - self.last) * (1 - optimizers.step / optimizers.total)
        outliers = Batch(self.virtual(network, batch, alpha))
        optimizers.descend(self.loss(network, replace(batch, streams={"outliers": outliers}), task))

    def virtual(self, network: nn.Module, batch: Batch, alpha: float) -> Tensor:
        """Outliers made of a batch."""
        gradient = attributions(network, batch.x, batch.targets)
        if self.outliers == "shuffle":
            return shuffled(batch.x, gradient, self.share)
        return pushed(batch.x, gradient, self.share, alpha)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        inside, outside = answers(network, batch)
        divergence = evenness(outside) - math.log(outside.shape[1])
        return soft_cross_entropy(inside, batch.targets) + self.weight * divergence


class _Standardised(nn.Module):
    """Features of each row with mean 0 and standard deviation sigma."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean(-1, keepdim=True)
        return self.sigma * centred / (features.std(-1, keepdim=True) + 1e-6)


def attributions(network: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """The gradient of the class's logit by each number of a picture, in evaluation mode, as x is shaped."""
    training = network.training
    network.eval()
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((network(x) * targets).sum(), x)
    network.train(training)
    return gradient


def shuffled(x: Tensor, gradient: Tensor, share: float) -> Tensor:
    """Pictures with the pixels of the largest ``sum over channels of exp(gradient)`` permuted among themselves.

    Examples
    --------
    >>> picture, gradient = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    >>> made = shuffled(picture, gradient, share=0.25)
    >>> bool((made != picture).any(1).flatten(1).sum(1).le(4).all())
    True
    """
    flat, count = x.flatten(2), int(share * x[0, 0].numel())
    places = gradient.exp().sum(1).flatten(1).topk(count, dim=1).indices
    order = torch.rand(places.shape, device=x.device).argsort(1)
    moved = flat.gather(2, places.gather(1, order)[:, None].expand(-1, x.shape[1], -1))
    return flat.scatter(2, places[:, None].expand(-1, x.shape[1], -1), moved).view_as(x)


def pushed(x: Tensor, gradient: Tensor, share: float, alpha: float) -> Tensor:
    """Pictures with ``alpha`` times the gradient added to the share of numbers where it is largest in size."""
    flat = gradient.flatten(1)
    places = flat.abs().topk(int(share * flat.shape[1]), dim=1).indices
    kept = torch.zeros_like(flat).scatter(1, places, flat.gather(1, places))
    return x + alpha * kept.view_as(x)
