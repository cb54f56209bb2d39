from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies._prototypes import OnSphere, Prototypical, compactness, dispersion, moved, on_sphere
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class CIDER(Prototypical):
    """Classes are drawn to prototypes on a sphere, and the prototypes driven apart [1]; then a linear head is fitted.

    ``weight * compactness + dispersion``: the first is the cross-entropy of ``z mu_c / T``, the second ``mean_c log
    mean_{c' != c} exp(mu_c mu_c' / T)``. Prototypes are running averages of their class.

    Parameters
    ----------
    weight : float
        Of the compactness.
    temperature : float
    momentum_of_prototypes : float
        Weight of the past when a prototype moves.
    projection : int
        Dimensions of the sphere's space.
    crop : float
        A view shows at least this share of the picture's side.

    Examples
    --------
    >>> CIDER(weight=1.0).params["temperature"]
    0.1

    References
    ----------
    [1] Ming, Sun, Dia, Li. How to Exploit Hyperspherical Embeddings for Out-of-Distribution Detection? ICLR 2023.
    """

    weight: float = 2.0
    temperature: float = 0.1
    momentum_of_prototypes: float = 0.95
    projection: int = 64
    crop: float = 0.8

    limits: ClassVar = {**Prototypical.limits, "weight": (0.0, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return self.of(on_sphere(network), network(batch.x), batch)

    def of(self, held: OnSphere, z: Tensor, batch: Batch) -> Tensor:
        """The loss of points z of one view or more of each item; the prototypes move."""
        labels = batch.targets.argmax(1).repeat(len(z) // len(batch.targets))
        prototypes = moved(held.prototypes[:, 0], z, labels, self.momentum_of_prototypes)
        held.prototypes = prototypes.detach()[:, None]
        compact = compactness(z, held.prototypes[:, 0], labels, self.temperature)
        return self.weight * compact + dispersion(prototypes, self.temperature)
