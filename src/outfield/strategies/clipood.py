from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.models.towers import zero_shot
from outfield.strategies._averages import add_to_average, beta_weights, share_of
from outfield.strategies.base import MakeNetwork, Optimizers, Strategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class CLIPood(Strategy):
    """The tower for pictures is fine-tuned with margins between the classes' texts, and its weights averaged [1].

    The loss is cross-entropy of ``scale (cos(f, t_c) + margin (1 - cos(t_y, t_c)))``: the less a class's text is like
    that of the right one, the further it must be left behind. The weights of step t enter the average with the density
    of Beta(beta, beta) at ``(t + 1/2) / (T + 1)``, so that the first and the last count most. Texts stay as they are.

    Parameters
    ----------
    margin : float
        Zero is plain cross-entropy.
    beta : float
        One is the plain mean over all steps.

    Examples
    --------
    >>> import torch
    >>> with_margins(torch.zeros(1, 2), torch.eye(2), torch.tensor([0]), margin=0.3)
    tensor([[0.0000, 0.3000]])

    References
    ----------
    [1] Shu, Guo, Wu, Wang, Wang, Long. CLIPood: Generalizing CLIP to Out-of-Distributions. ICML 2023.
    """

    learning_rate: float = 1e-4
    margin: float = 0.3
    beta: float = 0.5

    family: ClassVar[str] = "vision-language"
    items: ClassVar[frozenset[str]] = frozenset({"pictures"})
    tasks: ClassVar[frozenset[str]] = frozenset({"open-set", "ood"})
    reads_texts: ClassVar[bool] = True
    limits: ClassVar = {"margin": (0.0, 100.0), "beta": (0.01, 100.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Averaged(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        found = zero_shot(network, "CLIPood")
        texts = functional.normalize(found.head.weight, dim=1)
        cosines = found.towers.seen(batch.x)[0] @ texts.T
        logits = with_margins(cosines, texts, batch.targets.argmax(1), self.margin)
        return functional.cross_entropy(found.towers.scale * logits, batch.targets)

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        super().step(network, batch, task, optimizers)
        held = next(module for module in network.modules() if isinstance(module, _Averaged))
        share = share_of(beta_weights(optimizers.total, self.beta), optimizers.step + 1)
        add_to_average(held.average, held.network, share)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = next(module for module in network.modules() if isinstance(module, _Averaged))
        zero_shot(held.average, "CLIPood").learn()
        return held.average


def with_margins(cosines: Tensor, texts: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Cosines [n, C] plus ``margin (1 - cos(t_y, t_c))``, which is zero at the right class."""
    return cosines + margin * (1 - texts[labels] @ texts.T)


class _Averaged(nn.Module):
    """The network that is trained, its head fixed, with the average of its weights beside it, from the first on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.average = deepcopy(network).requires_grad_(False)
        zero_shot(network, "CLIPood").head.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits
