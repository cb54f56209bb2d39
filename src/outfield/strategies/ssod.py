from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies._warm_up import CENTRED, WithAbsent, WithWarmUp, absent_of, log_odds, told_apart
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class SSOD(WithWarmUp):
    """The background of training pictures is learned as OOD, found place by place on the last map [1].

    After a warm-up the head is asked at each place of the last map [n, D, h, w] too. A place with the probability of
    the picture's class of at least ``confidence`` is ID, one with at most ``1 - confidence`` is OOD, others are left
    out. With s the log-odds of ID that the output *absent* gives: ``CE(x, y) + weight * (mean over ID places log(1 +
    exp(-s)) + mean over OOD places log(1 + exp(s)))``. The finished network has s of the picture as its energy, sign
    turned.

    The paper begins with a published network, where the warm-up stands here: an untrained one is sure of no place.

    Parameters
    ----------
    confidence : float
        .99 in public code.
    weight : float

    Examples
    --------
    >>> logits = torch.tensor([[[9.0, 0.0]], [[0.0, 9.0]]]).log_softmax(2)  # [n, places, C]
    >>> [one.tolist() for one in places(logits, torch.tensor([0, 0]), 0.9)]
    [[[True], [False]], [[False], [True]]]

    References
    ----------
    [1] Pei. Image Background Serves as Good Proxy for Out-of-distribution Data. ICLR 2024.
    """

    confidence: float = 0.99
    weight: float = 1.0

    family: ClassVar[str] = "outlier exposure"
    limits: ClassVar = {**WithWarmUp.limits, "confidence": (0.5, 1.0), "weight": (0.0, 100.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return WithAbsent(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        absent_of(network).x = data.x

    def prepare(self, network: nn.Module, task: Task) -> None:
        held = absent_of(network)
        assert held.x is not None
        held.centre(held.x[:CENTRED])

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        held = absent_of(network)
        logits, points = last_map(held, batch.x)
        there = held.head(points)
        inside, outside = places(there, batch.targets.argmax(1), self.confidence)
        odds = log_odds(there.flatten(0, 1), held.absent(points).flatten()).view(inside.shape)
        return soft_cross_entropy(logits, batch.targets) + self.weight * told_apart(odds[inside], odds[outside])

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return absent_of(network).folded()


def last_map(held: WithAbsent, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [n, C], and the last map as points that the head can be asked at, [n, h w, D], from one forward pass.

    Raises
    ------
    UserError
        The head is not given the channel means of a map.
    """
    seen: list[Tensor] = []

    def note(_: nn.Module, __: object, out: object) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and out[0, 0].numel() > 1:
            seen[:] = [out]

    leaves = [module for module in held.network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        logits: Tensor = held.network(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen or seen[0].shape[1] != held.head.in_features:
        got = f"a map of {seen[0].shape[1]} channels" if seen else "no map of more than one place"
        raise UserError(
            f"Expected a last map of {held.head.in_features} channels, whose means the head is given, but "
            f"{type(held.network).__name__} has {got}. Take a network with global average pooling, or larger pictures."
        )
    return logits, seen[0].flatten(2).transpose(1, 2)


@torch.no_grad()
def places(logits: Tensor, labels: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Which places are ID and which OOD, [n, places] each, of their logits [n, places, C] and the pictures' labels."""
    own = logits.softmax(2).gather(2, labels[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
    return own >= confidence, own <= 1 - confidence
