from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies._parts import Accompanied, WithParts, with_parts
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SpectralNorm(Accompanied):
    """After each step, weights but the head's are scaled to a largest singular value of at most ``most`` [1].

    Features then keep distances, and a Gaussian of each class, the detector ``gmm``, tells what the network does not
    know [2]. The value comes from a power iteration that goes on from step to step; a convolution counts as the matrix
    of its kernels, [channels out, all others].

    Parameters
    ----------
    most : float
        3 in [2].

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> strategy, task, data = SpectralNorm(most=0.5), Classify(classes=2), Batch(torch.zeros(1, 4))
    >>> network = strategy.network(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), task)
    >>> for _ in range(50):
    ...     strategy.after_step(network, data, task)
    >>> round(float(torch.linalg.matrix_norm(network.network[0].weight.detach(), 2)), 3)
    0.5

    References
    ----------
    [1] Miyato, Kataoka, Koyama, Yoshida. Spectral Normalization for Generative Adversarial Networks. ICLR 2018.
    [2] Mukhoti, Kirsch, van Amersfoort, Torr, Gal. Deep Deterministic Uncertainty: A New Simple Baseline. CVPR 2023.
    """

    most: float = 3.0

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"most": (1e-3, 1000.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        directions = [functional.normalize(torch.randn(len(weight)), dim=0) for weight in _weights(network)]
        return WithParts(network, {"directions": _Directions(directions)})

    @torch.no_grad()
    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        held = with_parts(network)
        for weight, left in zip(_weights(held.network), held.parts["directions"].buffers(), strict=True):
            rows = weight.flatten(1)
            right = functional.normalize(rows.T @ left, dim=0)
            left.copy_(functional.normalize(rows @ right, dim=0))
            largest = left @ (rows @ right)
            weight.mul_((self.most / largest.clamp(min=1e-12)).clamp(max=1.0))


class _Directions(nn.Module):
    """The first left singular vector of each weight, nearly."""

    def __init__(self, directions: list[Tensor]) -> None:
        super().__init__()
        for number, one in enumerate(directions):
            self.register_buffer(f"of_{number}", one)


def _weights(network: nn.Module) -> list[Tensor]:
    """Of linear layers and convolutions, but for the head."""
    head = last_linear(network)[1]
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return [layer.weight for layer in network.modules() if isinstance(layer, kinds) and layer is not head]
