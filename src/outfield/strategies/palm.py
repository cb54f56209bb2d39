from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies._prototypes import Prototypical, on_sphere
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class PALM(Prototypical):
    """Each class is a mixture of prototypes on a sphere, so that it may have several modes [1]; then a head is fitted.

    A row is shared out among all prototypes by Sinkhorn's algorithm, and keeps its largest shares among those of its
    class. These move the prototypes, and weigh the cross-entropy of ``z mu / T`` over all prototypes. A second term
    draws prototypes of one class together, and those of others apart.

    Parameters
    ----------
    count : int
        Prototypes of a class: 6 in the paper.
    kept : int
        Shares that a row keeps: 5 in the paper.
    temperature : float
    weight : float
        Of the term between prototypes.
    epsilon : float
        Softness of the sharing out: 0.05 in the paper.
    momentum_of_prototypes : float
        Weight of the past when a prototype moves: 0.999 in the paper, over many more steps.
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.

    Examples
    --------
    >>> shares = sinkhorn(torch.randn(40, 6), epsilon=0.5, rounds=50)
    >>> torch.allclose(shares.sum(1), torch.ones(40)), shares.sum(0).round()
    (True, tensor([7., 7., 7., 7., 7., 7.]))

    References
    ----------
    [1] Lu, Gong, Wang, Xue, Yao, Moore. Learning with Mixture of Prototypes for Out-of-Distribution Detection.
    ICLR 2024.
    """

    count: int = 6
    kept: int = 5
    temperature: float = 0.1
    weight: float = 1.0
    epsilon: float = 0.05
    momentum_of_prototypes: float = 0.99
    projection: int = 64
    crop: float = 0.8

    limits: ClassVar = {
        **Prototypical.limits,
        "count": (1, 1000),
        "kept": (1, 1000),
        "weight": (0.0, 1000.0),
        "epsilon": (1e-3, 100.0),
    }

    @property
    def prototypes(self) -> int:
        return self.count

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        z, labels = network(batch.x), batch.targets.argmax(1).repeat(2)
        held = on_sphere(network)
        before, classes = held.prototypes.flatten(0, 1), len(held.prototypes)
        shares = self.shares(z.detach(), before, labels)
        drawn = functional.normalize(shares, p=1, dim=0).T @ z
        momentum = self.momentum_of_prototypes
        after = functional.normalize(momentum * before + (1 - momentum) * drawn, dim=1)
        held.prototypes = after.detach().unflatten(0, (classes, self.count))
        logits = z @ after.detach().T / self.temperature
        weights = self.shares(z.detach(), after.detach(), labels)
        likelihood = (weights * logits).sum(1) - logits.logsumexp(1)
        loss: Tensor = -likelihood.mean()
        return loss + self.weight * between(after, self.count)

    def shares(self, z: Tensor, prototypes: Tensor, labels: Tensor) -> Tensor:
        """How much of each row [m, C * count] belongs to each prototype of its class; rows sum to 1."""
        own = torch.arange(len(prototypes), device=z.device) // self.count == labels[:, None]
        shares = sinkhorn(z @ prototypes.T, self.epsilon) * own
        top, places = shares.topk(min(self.kept, self.count), dim=1)
        return functional.normalize(torch.zeros_like(shares).scatter(1, places, top), p=1, dim=1)


def sinkhorn(similarity: Tensor, epsilon: float, rounds: int = 3) -> Tensor:
    """Shares [m, k] like ``exp(similarity / epsilon)``: a row's sum to 1, and columns nearly have equal sums."""
    logs = similarity / epsilon
    for _ in range(rounds):
        logs = logs - logs.logsumexp(0, keepdim=True)
        logs = logs - logs.logsumexp(1, keepdim=True)
    return logs.exp()


def between(prototypes: Tensor, count: int, temperature: float = 0.5) -> Tensor:
    """Mean of ``-log softmax_{q != p}(mu_p mu_q / T)`` over prototypes q of the class of p; 0 where it is alone."""
    if count == 1:
        return prototypes.sum() * 0
    classes = torch.arange(len(prototypes), device=prototypes.device) // count
    itself = torch.eye(len(prototypes), dtype=torch.bool, device=prototypes.device)
    cosines = (prototypes @ prototypes.T / temperature).masked_fill(itself, -torch.inf)
    own = (classes[:, None] == classes) & ~itself
    return -(cosines.log_softmax(1).masked_fill(itself, 0) * own).sum(1).div(count - 1).mean()
