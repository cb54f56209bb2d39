"""What strategies share that hold prototypes of classes on a sphere, beside the network that they train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.strategies._contrast import Contrastive
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


class OnSphere(nn.Module):
    """A network that projects to a sphere, with ``count`` prototypes of length 1 for each class, [C, count, d].

    Examples
    --------
    >>> pair = OnSphere(nn.Linear(2, 3), classes=4, count=2, size=3)
    >>> pair.prototypes.shape, torch.allclose(pair.prototypes.norm(dim=2), torch.ones(4, 2))
    (torch.Size([4, 2, 3]), True)
    >>> torch.allclose(pair(torch.randn(5, 2)).norm(dim=1), torch.ones(5))
    True
    """

    prototypes: Tensor

    def __init__(self, network: nn.Module, classes: int, count: int, size: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("prototypes", functional.normalize(torch.randn(classes, count, size), dim=2))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.network(x), dim=1)


def on_sphere(network: nn.Module) -> OnSphere:
    """The network with its prototypes, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, OnSphere))


@dataclass(frozen=True)
class Prototypical(Contrastive):
    """Two views of each picture are drawn to prototypes of their class; then a linear head is fitted."""

    momentum_of_prototypes: float

    family: ClassVar[str] = "prototypes"
    limits: ClassVar = {**Contrastive.limits, "momentum_of_prototypes": (0.0, 1.0)}

    @property
    def prototypes(self) -> int:
        """How many prototypes a class has."""
        return 1

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        projecting = super().network(make, task)
        return OnSphere(projecting, _classes(task), self.prototypes, self.projection)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return super().finish(on_sphere(network).network, data, task)


def _classes(task: Task) -> int:
    classes: int | None = getattr(task, "classes", None)
    if classes is None:
        raise UserError(
            f"Expected a task with a number of classes, but {type(task).__name__} has none. "
            "Choose a strategy without prototypes of classes."
        )
    return classes


def moved(prototypes: Tensor, z: Tensor, labels: Tensor, momentum: float) -> Tensor:
    """Prototypes [C, d] after each row of z [m, d], in its turn, has drawn that of its label, brought to length 1.

    ``momentum^k mu + (1 - momentum) sum_i momentum^(k - i) z_i`` over the k rows of a class. Gradients pass to z.

    Examples
    --------
    >>> moved(torch.eye(2), torch.tensor([[0.0, 1.0]]), torch.tensor([0]), momentum=0.5)
    tensor([[0.7071, 0.7071],
            [0.0000, 1.0000]])
    """
    member = functional.one_hot(labels, len(prototypes)).to(z.dtype)
    later = member.flip(0).cumsum(0).flip(0) - member
    shares = (1 - momentum) * momentum**later * member
    past = momentum ** member.sum(0)[:, None]
    return functional.normalize(past * prototypes + shares.T @ z, dim=1)


def compactness(z: Tensor, prototypes: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """``-mean_i log softmax_c(z_i mu_c / T)`` at each row's own class: rows are drawn to their prototype."""
    return functional.cross_entropy(z @ prototypes.T / temperature, labels)


def dispersion(prototypes: Tensor, temperature: float) -> Tensor:
    """``mean_c log mean_{c' != c} exp(mu_c mu_c' / T)``: prototypes are driven apart.

    Examples
    --------
    >>> dispersion(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), temperature=0.5).item()
    -2.0
    """
    itself = torch.eye(len(prototypes), dtype=torch.bool, device=prototypes.device)
    cosines = (prototypes @ prototypes.T / temperature).masked_fill(itself, -torch.inf)
    return cosines.logsumexp(1).mean() - torch.tensor(float(len(prototypes) - 1)).log()
