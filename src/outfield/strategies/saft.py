from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies.base import MakeNetwork, PictureStrategy, learned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class SAFT(PictureStrategy):
    """Only the few weights are learned whose gradient is large before the first step: sparse adaptation [1].

    The mean over batches of the gradient's magnitude ranks the weights of a pretrained network; the ``share`` with the
    largest ones are learned, ``ceil(share N)`` of N, the others stay what they were. With share one it is plain
    fine-tuning. Any network can be trained so; pretrained weights want a smaller learning rate, such as .01.

    Parameters
    ----------
    share : float

    Examples
    --------
    >>> largest([torch.tensor([1.0, 5.0]), torch.tensor([[3.0]])], share=0.5)
    [tensor([False,  True]), tensor([[True]])]

    References
    ----------
    [1] Nguyen, Nguyen, Hoai. SAFT: Towards Out-of-Distribution Generalization in Fine-Tuning. ECCV 2024.
    """

    share: float = 0.001

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"share": (1e-9, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Masked(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        masked = _masked(network)
        whole = task.targets(data, network)
        sums = [torch.zeros_like(weight) for weight in learned(masked.network)]
        for rows in torch.arange(len(whole)).split(self.batch_size):
            found = torch.autograd.grad(self.loss(masked.network, whole[rows], task), learned(masked.network))
            sums = [total + gradient.abs() for total, gradient in zip(sums, found, strict=True)]
        masked.keep(largest(sums, self.share))

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        _masked(network).restore()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _masked(network).network


def largest(values: list[Tensor], share: float) -> list[Tensor]:
    """Which numbers are among the ``ceil(share N)`` largest of all tensors together; the first of equal ones."""
    flat = torch.cat([value.flatten() for value in values])
    count = math.ceil(share * len(flat) - 1e-9)
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[flat.argsort(descending=True, stable=True)[:count]] = True
    parts = mask.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


class _Masked(nn.Module):
    """A network with which of its weights are learned, and what they were, beside it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for number, weight in enumerate(learned(network)):
            self.register_buffer(f"mask{number}", torch.ones_like(weight, dtype=torch.bool))
            self.register_buffer(f"start{number}", weight.detach().clone())

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)

    def keep(self, masks: list[Tensor]) -> None:
        for number, mask in enumerate(masks):
            self.get_buffer(f"mask{number}").copy_(mask)

    @torch.no_grad()
    def restore(self) -> None:
        """What is not learned is again what it was."""
        for number, weight in enumerate(learned(self.network)):
            start = self.get_buffer(f"start{number}")
            weight.copy_(torch.where(self.get_buffer(f"mask{number}"), weight, start))


def _masked(network: nn.Module) -> _Masked:
    """The network with its masks, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Masked))
