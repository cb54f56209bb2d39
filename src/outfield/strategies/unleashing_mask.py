from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from outfield.errors import UserError
from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies._warm_up import WithData, WithWarmUp
from outfield.strategies.base import MakeNetwork, Optimizers, learned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class UnleashingMask(WithWarmUp):
    """A trained network forgets its untypical items, down to the loss that it has with a few weights masked [1].

    After the warm-up a share of the weights of each convolution and linear layer is masked, those of least score; the
    scores are drawn at random. The mean loss L of the training set with that mask is what the network is tuned to, by
    ``|CE - L| + L``, which ascends where the loss is smaller. ``kind="weights"`` (UM) tunes the weights, ``"mask"``
    (UMAP) the scores, with gradients that pass the threshold as if it were not there, and keeps the mask.

    Parameters
    ----------
    share : float
        Of the weights that are masked; .035 in the paper's code.
    kind : {"weights", "mask"}

    Examples
    --------
    >>> [round(flooded(torch.tensor(loss), torch.tensor(0.5)).item(), 2) for loss in (0.75, 0.25)]
    [0.75, 0.75]
    >>> mask(torch.tensor([0.3, -0.1, 0.2, -0.9]), 0.25)  # of the scores' sizes
    tensor([1., 0., 1., 1.])

    References
    ----------
    [1] Zhu, Li, Yao, Liu, Xu, Han. Unleashing Mask: Explore the Intrinsic Out-of-Distribution Detection Capability.
    ICML 2023.
    """

    share: float = 0.035
    kind: Literal["weights", "mask"] = "weights"

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {**WithWarmUp.limits, "share": (0.0, 1.0)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("weights", "mask"):
            raise UserError(f"Expected the kind weights or mask of UnleashingMask, but got {self.kind!r}. Choose one.")

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Masked(make(), self.share)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        held = masked_of(network)
        held.x, held.y = data.x, data.targets

    def optimizer(self, network: nn.Module) -> dict[str, Optimizer]:
        held = masked_of(network)
        return {"weights": self._sgd(learned(held.network)), "scores": self._sgd(list(held.scores))}

    def _sgd(self, weights: list[nn.Parameter]) -> Optimizer:
        return torch.optim.SGD(weights, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)

    def prepare(self, network: nn.Module, task: Task) -> None:
        held = masked_of(network)
        held.target.copy_(held.loss_with_mask())

    def warm(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        optimizers.descend(task.loss(network, batch), "weights")

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        held = masked_of(network)
        logits = network(batch.x) if self.kind == "weights" else held.masked(batch.x)
        return flooded(soft_cross_entropy(logits, batch.targets), held.target)

    def tune(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        optimizers.descend(self.loss(network, batch, task), "weights" if self.kind == "weights" else "scores")

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = masked_of(network)
        if self.kind == "mask" and held.target.isfinite():
            for name, weight in held.with_mask().items():
                held.network.get_parameter(name).copy_(weight)
        return held.network


class _Masked(WithData):
    """The network with a score for each weight that a mask may take, and the loss that it is tuned to, NaN before."""

    target: Tensor

    def __init__(self, network: nn.Module, share: float) -> None:
        super().__init__(network)
        self.share = share
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        layers = {name: module for name, module in network.named_modules() if isinstance(module, kinds)}
        self.names = [f"{name}.weight" if name else "weight" for name in layers]
        self.scores = nn.ParameterList(torch.empty_like(layer.weight) for layer in layers.values())
        for scores in self.scores:
            nn.init.kaiming_uniform_(scores, a=math.sqrt(5))
        self.register_buffer("target", torch.full((), torch.nan))

    def with_mask(self) -> dict[str, Tensor]:
        """The weights that a mask may take, by name, masked."""
        pairs = zip(self.names, self.scores, strict=True)
        return {name: self.network.get_parameter(name) * _Mask.apply(score, self.share) for name, score in pairs}  # type: ignore[no-untyped-call]  # torch's

    def masked(self, x: Tensor) -> Tensor:
        """Logits with the mask."""
        logits: Tensor = torch.func.functional_call(self.network, self.with_mask(), (x,))
        return logits

    @torch.no_grad()
    def loss_with_mask(self, size: int = 1024) -> Tensor:
        """The mean cross-entropy of the training set with the mask, in evaluation mode."""
        assert self.x is not None and self.y is not None
        training = self.network.training
        self.network.eval()
        logits = torch.cat([self.masked(chunk) for chunk in self.x.split(size)])
        self.network.train(training)
        return functional.cross_entropy(logits, self.y)


class _Mask(torch.autograd.Function):
    """The mask of scores; gradients pass as if it were they."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, share: float) -> Tensor:
        ctx.save_for_backward(scores.sign())
        return mask(scores, share)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.saved_tensors[0], None


def mask(scores: Tensor, share: float) -> Tensor:
    """0 for the share of least size, 1 for the others."""
    kept = torch.ones_like(scores).flatten()
    kept[scores.abs().flatten().argsort()[: int(share * scores.numel())]] = 0
    return kept.view_as(scores)


def flooded(loss: Tensor, target: Tensor) -> Tensor:
    """``|loss - target| + target``."""
    return (loss - target).abs() + target


def masked_of(network: nn.Module) -> _Masked:
    """The network with its scores, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Masked))
