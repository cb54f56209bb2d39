from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import WithParts, with_parts
from outfield.strategies.base import MakeNetwork, Optimizers, PictureStrategy, learned
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class MaskedModelling(PictureStrategy):
    """Hidden patches of a picture are filled in first; then the network learns the classes [1].

    Over the share ``pretraining`` of the steps patches are replaced by one learned patch, and a linear layer gives
    their pixels back, from the token of each patch where the network has ``tokens(x)``, else from the features; the
    loss is the mean absolute error of hidden pixels alone. Then cross-entropy, at a learning rate that rises and falls
    again. With ``pretraining`` 1 labels are seen by a head alone that is fitted to the features; with 0 nothing is
    masked.

    Parameters
    ----------
    pretraining : float
        Share of the steps.
    hidden : float
        Share of the patches: 0.4 in BEiT, 0.6 in SimMIM.
    patch : int
        Pixels of a patch's side; it divides that of the pictures.

    Raises
    ------
    UserError
        When training starts, where the sides are no multiples of a patch.

    Examples
    --------
    >>> patches(torch.arange(16.0).view(1, 1, 4, 4), 2)[0, 1]
    tensor([2., 3., 6., 7.])

    References
    ----------
    [1] Li, Chen, Yu, Liu, Jia. Rethinking Out-of-distribution (OOD) Detection: Masked Image Modeling is All You Need.
    CVPR 2023.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    pretraining: float = 0.5
    hidden: float = 0.5
    patch: int = 4

    family: ClassVar[str] = "self-supervised"
    tasks: ClassVar[frozenset[str]] = frozenset({"anomaly", "novelty", "open-set", "ood"})
    limits: ClassVar = {"pretraining": (0.0, 1.0), "hidden": (0.0, 1.0), "patch": (1, 10_000)}

    def check(self, data: Batch) -> None:
        super().check(data)
        if any(size % self.patch for size in data.x.shape[2:]):
            raise UserError(
                f"Expected pictures whose sides are multiples of patch {self.patch}, but got {list(data.x.shape[2:])}. "
                "Set patch to a number that divides them."
            )

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return WithParts(make(), {})

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        held = with_parts(network)
        if self.pretraining > 0:
            tokens = hasattr(held.network, "tokens")
            held.parts["decoder"] = _Decoder(data.x[:1], self.patch, last_linear(held.network)[1].in_features, tokens)

    def optimizer(self, network: nn.Module) -> Optimizer | Mapping[str, Optimizer]:
        return torch.optim.AdamW(learned(network), lr=self.learning_rate, weight_decay=self.weight_decay)

    def schedule(self, step: int, total: int) -> float:
        first = round(self.pretraining * total)
        return super().schedule(step, first) if step < first else super().schedule(step - first, max(1, total - first))

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        early = optimizers.step < round(self.pretraining * optimizers.total)
        optimizers.descend(self.reconstruction(network, batch.x) if early else self.loss(network, batch, task))

    def reconstruction(self, network: nn.Module, x: Tensor) -> Tensor:
        """Mean absolute error of the pixels of hidden patches, which are drawn for each picture."""
        held = with_parts(network)
        decoder = held.parts["decoder"]
        assert isinstance(decoder, _Decoder)
        hidden = drawn(len(x), decoder.patches, self.hidden).to(x.device)
        return hidden_error(decoder(held.network, decoder.masked(x, hidden)), patches(x, self.patch), hidden)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        found = with_parts(network).network
        if self.pretraining < 1:
            return found
        name, _ = last_linear(found)
        features = _heads.fixed_features(found, data.x)
        classes = last_linear(found)[1].out_features
        return _heads.with_head(found, name, _heads.fitted_head(features, data.targets, classes))


class _Decoder(nn.Module):
    """The learned patch, and the linear layer that gives pixels of patches, [n, patches, channels * side^2]."""

    def __init__(self, x: Tensor, side: int, width: int, tokens: bool) -> None:
        super().__init__()
        _, self.patches, size = patches(x, side).shape
        self.shape, self.side, self.tokens = tuple(x.shape[2:]), side, tokens
        self.blank = nn.Parameter(torch.zeros(size))
        self.pixels = nn.Linear(width, size if tokens else self.patches * size)

    def masked(self, x: Tensor, hidden: Tensor) -> Tensor:
        """The pictures with the learned patch in the place of the hidden ones."""
        seen = torch.where(hidden[:, :, None], self.blank, patches(x, self.side))
        return functional.fold(seen.transpose(1, 2), self.shape, self.side, stride=self.side)

    def forward(self, network: nn.Module, x: Tensor) -> Tensor:
        if self.tokens:
            found: Tensor = self.pixels(network.tokens(x))  # type: ignore[operator]  # a network that has them
            return found
        pixels: Tensor = self.pixels(_heads.features(network, x))
        return pixels.view(len(x), self.patches, -1)


def patches(x: Tensor, side: int) -> Tensor:
    """Patches of pictures, row by row, [n, patches, channels * side^2]."""
    return functional.unfold(x, side, stride=side).transpose(1, 2)


def drawn(n: int, patches: int, share: float) -> Tensor:
    """Which patches of each picture are hidden, [n, patches]: of each as many, at least one and not all of several."""
    count = min(max(1, round(share * patches)), max(1, patches - 1))
    order = torch.rand(n, patches).argsort(1)
    return torch.zeros(n, patches, dtype=torch.bool).scatter(1, order[:, :count], True)


def hidden_error(found: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean absolute error over the patches that are hidden."""
    return (found - target).abs()[hidden].mean()
