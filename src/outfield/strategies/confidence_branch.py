from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import Accompanied, lifted, with_parts
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class ConfidenceBranch(Accompanied):
    """A second output c in (0, 1) buys hints, ``p' = c p + (1 - c) y``, at the price ``-lambda log c`` [1].

    Half of a batch may have hints. lambda rises by 1% of itself after a step whose mean ``-log c`` is above ``budget``,
    and falls else. The softmax of the finished network is p, and the sum of its exponential logits is the odds of c, so
    that the paper's score ``1 - c`` is ranked by the detector ``energy``.

    Parameters
    ----------
    budget : float
        beta: 0.3 in the paper.
    price : float
        lambda at the beginning: 0.1 in the paper.

    Examples
    --------
    >>> ConfidenceBranch(budget=0.5).params["price"]
    0.1

    References
    ----------
    [1] DeVries, Taylor. Learning Confidence for Out-of-Distribution Detection in Neural Networks. 2018.
    """

    budget: float = 0.3
    price: float = 0.1

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"budget": (0.0, 100.0), "price": (0.0, 100.0)}

    def parts(self, features: int, classes: int) -> dict[str, nn.Module]:
        return {"confidence": nn.Linear(features, 1), "price": _Price(self.price)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        parts, features = with_parts(network).parts, _heads.features(network, batch.x)
        odds = parts["confidence"](features)
        probabilities = last_linear(network)[1](features).softmax(1).clamp(1e-12, 1 - 1e-12)
        hinted = torch.randint(2, (len(features), 1), device=features.device)
        confidence = torch.where(hinted == 1, odds.sigmoid(), 1.0)
        mixed = confidence * probabilities + (1 - confidence) * batch.targets
        spent = -functional.logsigmoid(odds).mean()
        price = parts["price"]
        assert isinstance(price, _Price)
        loss: Tensor = -(batch.targets * mixed.log()).sum(1).mean() + price.value * spent
        price.spent = spent.detach()
        return loss

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:
        price = with_parts(network).parts["price"]
        assert isinstance(price, _Price)
        price.value = torch.where(price.spent > self.budget, price.value / 0.99, price.value / 1.01)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        head = last_linear(network)[1]
        size, classes = head.in_features, head.out_features
        odds = _WithOdds(nn.Linear(size, classes), nn.Linear(size, 1))
        return lifted(network, odds, nn.Linear(size + 1, classes))

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        held = with_parts(network)
        head, confidence = last_linear(held.network)[1], held.parts["confidence"]
        assert isinstance(confidence, nn.Linear)
        linear = nn.Linear(head.in_features + 1, head.out_features, device=head.weight.device)
        linear.weight.copy_(torch.cat([head.weight, torch.ones_like(head.weight[:, :1])], dim=1))
        linear.bias.copy_(head.bias)
        return lifted(held.network, _WithOdds(head, confidence), linear)


class _WithOdds(nn.Module):
    """``[f, s - logsumexp(W f + b)]`` with s the log odds of the confidence: what moves the logits' sum to it."""

    def __init__(self, head: nn.Linear, confidence: nn.Linear) -> None:
        super().__init__()
        self.head, self.confidence = head, confidence

    def forward(self, features: Tensor) -> Tensor:
        moved = self.confidence(features) - self.head(features).logsumexp(1, keepdim=True)
        return torch.cat([features, moved], dim=1)


class _Price(nn.Module):
    """lambda, and what the last step spent."""

    value: Tensor
    spent: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(value))
        self.register_buffer("spent", torch.tensor(0.0))
