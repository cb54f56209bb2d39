from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional

from outfield.strategies._blocks import blocks, changed
from outfield.strategies._pictures import per_picture
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class MixStyle(PictureStrategy):
    """Mean and spread of each channel of early maps are mixed with those of another picture, and targets stay [1].

    Parameters
    ----------
    alpha : float
        Of ``lambda ~ Beta(alpha, alpha)``, one a picture: 0.1 in the paper.
    probability : float
        That a step mixes: 0.5 in the paper.
    depth : int
        Blocks, from the first on, whose maps are mixed: 2 in the paper's default.

    Examples
    --------
    >>> MixStyle(depth=1).params["alpha"]
    0.1

    References
    ----------
    [1] Zhou, Yang, Qiao, Xiang. Domain Generalization with MixStyle. ICLR 2021.
    """

    alpha: float = 0.1
    probability: float = 0.5
    depth: int = 2

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"alpha": (1e-3, 1000.0), "probability": (0.0, 1.0), "depth": (1, 1000)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        with ExitStack() as stack:
            if torch.rand(()) < self.probability:
                for block in blocks(network)[: self.depth]:
                    stack.enter_context(changed(block, self.restyled))
            return functional.cross_entropy(network(batch.x), batch.targets)

    def restyled(self, maps: Tensor) -> Tensor:
        """Maps [n, C, H, W] with another's style mixed into their own; anything else as it is."""
        if maps.ndim != 4:
            return maps
        share = per_picture(Beta(self.alpha, self.alpha).sample(torch.Size((len(maps),)))).to(maps)
        return mixed_style(maps, torch.randperm(len(maps), device=maps.device), share)


def mixed_style(maps: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """``s (x - m) / sd + b`` with mean and spread of each channel a share of its own and the rest of the partner's.

    Examples
    --------
    >>> maps = torch.randn(2, 3, 4, 4)
    >>> mixed = mixed_style(maps, torch.tensor([1, 0]), torch.tensor(0.0))
    >>> torch.allclose(mixed.mean((2, 3)), maps.flip(0).mean((2, 3)), atol=1e-5)
    True
    """
    mean = maps.mean((2, 3), keepdim=True).detach()
    spread = (maps.var((2, 3), keepdim=True, correction=0) + 1e-6).sqrt().detach()
    new_mean, new_spread = (share * one + (1 - share) * one[partner] for one in (mean, spread))
    return (maps - mean) / spread * new_spread + new_mean
