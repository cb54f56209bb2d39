"""What strategies share that tune the words before the names of classes, beside two towers that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.models.towers import TwoTowers, head_of, zero_shot
from outfield.strategies.base import MakeNetwork, Strategy
from outfield.tasks.base import Task
from outfield.types import Batch


class Prompted(nn.Module):
    """Two frozen towers, and a context [k, E] that stands in the place of the prompt's words before a name.

    Examples
    --------
    >>> from outfield.registry import create
    >>> network = create("networks", "clip", classes=2, names=("red circle", "blue square"))
    >>> tuned = Prompted(network, tuned="a photo of a")
    >>> torch.allclose(tuned.texts(), network.head.weight / network.towers.scale, atol=1e-6)
    True
    """

    def __init__(self, network: nn.Module, tuned: str) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.held = (zero_shot(network, "tuning of prompts"),)
        with torch.no_grad():
            self.context = nn.Parameter(words_before(self.towers, tuned))
            self.names, self.there = self.towers.words(self.held[0].names)

    @property
    def towers(self) -> TwoTowers:
        return self.held[0].towers

    def texts(self) -> Tensor:
        """Embeddings of the classes' texts [C, D], of length 1, with their gradients."""
        return with_context(self.towers, self.context, self.names, self.there)

    def pictures(self, x: Tensor) -> Tensor:
        """Embeddings of pictures [n, D], of length 1, without gradients."""
        with torch.no_grad():
            return self.towers.seen(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.towers.scale * self.pictures(x) @ self.texts().T


def words_before(towers: TwoTowers, text: str) -> Tensor:
    """Embeddings [k, E] of the words of a text, without what stands around every text."""
    words, there = towers.words([text])
    ends = towers.context_start
    return words[0, ends : int(there.sum()) - ends].clone()


def with_context(towers: TwoTowers, context: Tensor, names: Tensor, there: Tensor) -> Tensor:
    """Embeddings of texts [m, D] whose names [m, T, E] stand after a context [k, E]."""
    start, count = towers.context_start, len(names)
    words = torch.cat([names[:, :start], context.expand(count, -1, -1), names[:, start:]], dim=1)
    present = there.new_ones(count, len(context))
    return towers.read(words, torch.cat([there[:, :start], present, there[:, start:]], dim=1))


def prompted(network: nn.Module) -> Prompted:
    """The network with its context, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, Prompted))


@dataclass(frozen=True, kw_only=True)
class PromptTuning(Strategy):
    """Only the context of the classes' names is learned; the finished network is the zero-shot one with their texts."""

    learning_rate: float = 2e-3
    context: str = "a photo of a"

    family: ClassVar[str] = "vision-language"
    items: ClassVar[frozenset[str]] = frozenset({"pictures"})
    tasks: ClassVar[frozenset[str]] = frozenset({"open-set", "ood"})
    reads_texts: ClassVar[bool] = True

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return Prompted(make(), self.context)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        tuned = prompted(network)
        found = tuned.held[0]
        found.head = head_of(found.towers.scale * tuned.texts())
        found.learn()
        return tuned.network
