from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from outfield.strategies import _averages
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class WiseFT(PictureStrategy):
    """Fine-tuning, then the weights between where it began and where it ended [1].

    It is for a network that begins with learned weights: between random and trained ones there is nothing to find.

    Parameters
    ----------
    share : float
        alpha of the paper: 0 gives the network that it began with, 1 the fine-tuned one.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> strategy, task = WiseFT(share=0.5), Classify(classes=2)
    >>> pair = strategy.network(lambda: nn.Linear(1, 1, bias=False), task)
    >>> _ = nn.init.zeros_(pair.start.weight), nn.init.ones_(pair.network.weight)
    >>> strategy.finish(pair, Batch(torch.zeros(1, 1)), task).weight.item()
    0.5

    References
    ----------
    [1] Wortsman et al. Robust Fine-Tuning of Zero-Shot Models. CVPR 2022.
    """

    share: float = 0.5

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _WithStart(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = next(module for module in network.modules() if isinstance(module, _WithStart))
        held.network.load_state_dict(_averages.between(held.start.state_dict(), held.network.state_dict(), self.share))
        return held.network


class _WithStart(nn.Module):
    """A network in training, with what it was before beside it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.start = deepcopy(network).requires_grad_(False)

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)
