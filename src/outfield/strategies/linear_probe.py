from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies.adamw import AdamW
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class LinearProbe(AdamW):
    """Only the last linear layer is learned, on features of a network that stays as it began [1].

    It asks what is in published weights. The training set passes the network once, in evaluation mode; the steps then
    read its features, so that an epoch costs next to nothing.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> probed = LinearProbe().network(lambda: net, Classify(classes=2))
    >>> [name for name, weight in probed.named_parameters() if weight.requires_grad]
    ['network.2.weight', 'network.2.bias']

    References
    ----------
    [1] Alain, Bengio. Understanding intermediate layers using linear classifier probes. ICLR workshop 2017.
    """

    epochs: int = 20
    learning_rate: float = 1e-2

    family: ClassVar[str] = "freezing"

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Probed(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Probed(make()).network

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        _probed(network).remember(data.x)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return functional.cross_entropy(_probed(network).logits(batch), batch.targets)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _probed(network).network


class _Probed(nn.Module):
    """A network of which the last linear layer alone is learned, with the features of the training set beside it."""

    features: Tensor | None

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.head.requires_grad_(True)
        self.register_buffer("features", None, persistent=False)

    @property
    def head(self) -> nn.Linear:
        return last_linear(self.network)[1]

    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)

    def logits(self, batch: Batch) -> Tensor:
        features = self.read(batch.x) if self.features is None or batch.rows is None else self.features[batch.rows]
        logits: Tensor = self.head(features)
        return logits

    def remember(self, x: Any, size: int = 64) -> None:
        self.features = torch.cat([self.read(x[start : start + size]) for start in range(0, len(x), size)])

    @torch.no_grad()
    def read(self, x: Any) -> Tensor:
        """What the last linear layer is given [n, D], without dropout or statistics of a batch."""
        self.network.eval()
        heard: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
        try:
            self.network(x)
        finally:
            hook.remove()
        if not heard or heard[-1].ndim != 2:
            raise UserError(
                "Expected a network whose last linear layer is given one row of features an item, but "
                f"{type(self.network).__name__} gives it {'nothing' if not heard else list(heard[-1].shape)}. "
                "Take another network, or another strategy."
            )
        return heard[-1].detach()


def _probed(network: nn.Module) -> _Probed:
    """The probed network, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Probed))
