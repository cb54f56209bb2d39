from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task


@dataclass(frozen=True)
class FrozenFilters(PictureStrategy):
    """Spatial filters stay as they were drawn; only their 1 x 1 combinations are learned [1].

    Each convolution with a kernel larger than 1 becomes two: a random one with ``expansion`` times the
    channels, frozen, and a learned 1 x 1 convolution back to the channels that the network expects.

    Parameters
    ----------
    expansion : float
        Random filters for each output channel.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> network = FrozenFilters().network(lambda: nn.Sequential(nn.Conv2d(3, 8, 3)), Classify())
    >>> [(name, weight.requires_grad) for name, weight in network.named_parameters()]
    [('0.0.weight', False), ('0.1.weight', True), ('0.1.bias', True)]

    References
    ----------
    [1] Gavrikov, Keuper. The Power of Linear Combinations: Learning with Random Convolutions. arXiv 2301.11360, 2023.
    """

    expansion: float = 1.0

    family: ClassVar[str] = "freezing"
    limits: ClassVar = {"expansion": (1e-3, 1000.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Conv2d) and child.kernel_size != (1, 1):
                    setattr(parent, name, self._combined(child))
        return network

    def _combined(self, layer: nn.Conv2d) -> nn.Sequential:
        wide = max(1, round(self.expansion * layer.out_channels))
        combination = nn.Conv2d(wide, layer.out_channels, 1, bias=layer.bias is not None)
        return nn.Sequential(_random(layer, wide), combination)


def _random(layer: nn.Conv2d, wide: int) -> nn.Conv2d:
    random = deepcopy(layer)
    random.out_channels, random.bias = wide, None
    random.weight = nn.Parameter(layer.weight.new_empty(wide, *layer.weight.shape[1:]), requires_grad=False)
    nn.init.kaiming_normal_(random.weight, nonlinearity="relu")
    return random
