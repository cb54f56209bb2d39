"""What strategies share that learn something beside the network: it is trained with it, and left out at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


class WithParts(nn.Module):
    """A network with named modules beside it; its own last linear layer stays the last.

    Examples
    --------
    >>> pair = WithParts(nn.Linear(2, 3), {"confidence": nn.Linear(2, 1)})
    >>> pair(torch.zeros(5, 2)).shape, pair.parts["confidence"].out_features, last_linear(pair)[1].out_features
    (torch.Size([5, 3]), 1, 3)
    """

    def __init__(self, network: nn.Module, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.network = network

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)


def with_parts(network: nn.Module) -> WithParts:
    """The network with its parts, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, WithParts))


@dataclass(frozen=True)
class Accompanied(PictureStrategy):
    """The baseline with modules beside the network that read its features; they are left out of what is measured."""

    def parts(self, features: int, classes: int) -> dict[str, nn.Module]:
        """The modules by name, for a head of ``classes`` outputs that reads so many features."""
        raise NotImplementedError

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        return WithParts(network, self.parts(head.in_features, head.out_features))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return with_parts(network).network


class Lift(nn.Module):
    """A head that reads more than the features: ``W [f, g(f)] + b``, so that its last linear layer gives the logits.

    Parameters
    ----------
    lift : nn.Module
        Features [n, D] to what the linear layer reads [n, E].
    linear : nn.Linear
    """

    def __init__(self, lift: nn.Module, linear: nn.Linear) -> None:
        super().__init__()
        self.lift, self.linear = lift, linear

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.lift(features))
        return logits


def lifted(network: nn.Module, lift: nn.Module, linear: nn.Linear) -> nn.Module:
    """The network with another head, in place."""
    return _heads.with_head(network, last_linear(network)[0], Lift(lift, linear))


def lift_of(network: nn.Module) -> Lift:
    """The head that reads more than the features."""
    return next(module for module in network.modules() if isinstance(module, Lift))


class UnitRows(nn.Linear):
    """A linear layer without bias whose rows count at length 1: with a direction, it gives cosines.

    Examples
    --------
    >>> layer = UnitRows(2, 3)
    >>> torch.allclose(layer(torch.eye(2)).square().sum(1).sum(), torch.tensor(3.0))
    True
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, functional.normalize(self.weight, dim=1))

    @torch.no_grad()
    def plain(self) -> nn.Linear:
        """The layer with rows of length 1 as weights."""
        found = nn.Linear(self.in_features, self.out_features, bias=False, device=self.weight.device)
        found.weight.copy_(functional.normalize(self.weight, dim=1))
        return found


def labels(batch: Batch) -> Tensor:
    """The class of each item [n], of targets that are shares."""
    return batch.targets.argmax(1)
