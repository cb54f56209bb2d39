from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._parts import Accompanied
from outfield.tasks.base import Task
from outfield.types import Batch

_LEAST = 1e-2
"""The smallest variance of a feature."""


@dataclass(frozen=True)
class CategoryMixtures(Accompanied):
    """Features and a Gaussian mixture of each class are learned together, after hierarchical visual categories [1].

    Cross-entropy of the head, plus ``weight`` times the mean of ``-log sum_k pi_k N(f; mu_yk, s_y)``: centres are
    learned, and the weights pi and the variances s of each feature are running averages. At the end the mixtures are
    left out; the detector ``category_mixtures`` fits its own to the features.

    Parameters
    ----------
    components : int
        Of a class.
    weight : float
    past : float
        Weight of the past in the running averages.

    Examples
    --------
    >>> held = CategoryMixtures(components=2).parts(features=3, classes=5)["mixtures"]
    >>> held.centres.shape
    torch.Size([5, 2, 3])

    References
    ----------
    [1] Li, Zhou, Guo, Sun, Huang, Ge, Zhang. Hierarchical Visual Categories Modeling: A Joint Representation Learning
    and Density Estimation Framework for Out-of-Distribution Detection. ICCV 2023.
    """

    components: int = 2
    weight: float = 0.01
    past: float = 0.9

    family: ClassVar[str] = "prototypes"
    limits: ClassVar = {"components": (1, 1000), "weight": (0.0, 1000.0), "past": (0.0, 1.0)}

    def parts(self, features: int, classes: int) -> dict[str, nn.Module]:
        return {"mixtures": _Mixtures(classes, self.components, features)}

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        _mixtures(network).begin(_heads.fixed_features(network, data.x), data.targets)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        features, held = _heads.features(network, batch.x), _mixtures(network)
        labels = batch.targets.argmax(1)
        loss = functional.cross_entropy(last_linear(network)[1](features), batch.targets)
        loss = loss - self.weight * held.log_density(features, labels).mean()
        held.remember(features.detach(), labels, self.past)
        return loss


class _Mixtures(nn.Module):
    """Centres [C, K, D], weights [C, K] and, for each class, variances [C, D]."""

    weights: Tensor
    variances: Tensor

    def __init__(self, classes: int, components: int, features: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, components, features))
        self.register_buffer("weights", torch.full((classes, components), 1 / components))
        self.register_buffer("variances", torch.ones(classes, features))

    @torch.no_grad()
    def begin(self, features: Tensor, labels: Tensor) -> None:
        """Centres are items of their class, and variances those of the class."""
        for label, centres in enumerate(self.centres):
            rows = features[labels == label]
            if len(rows):
                centres.copy_(rows[torch.randint(len(rows), (len(centres),))])
                self.variances[label] = rows.var(0, correction=0).clamp(min=_LEAST)

    def each(self, features: Tensor, labels: Tensor) -> Tensor:
        """``log pi_k N(f; mu_yk, s_y)`` of each component of a row's class, [n, K]."""
        variances = self.variances[labels][:, None]
        away = (features[:, None] - self.centres[labels]).square() / variances
        height = -(away + (2 * torch.pi * variances).log()).sum(2) / 2
        return height + self.weights[labels].clamp(min=1e-6).log()

    def log_density(self, features: Tensor, labels: Tensor) -> Tensor:
        """Of each row under the mixture of its class, [n]."""
        return self.each(features, labels).logsumexp(1)

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor, past: float) -> None:
        """Weights and variances move towards those of the rows."""
        shares = self.each(features, labels).softmax(1)
        squares = (features[:, None] - self.centres[labels]).square()
        spread = (shares[:, :, None] * squares).sum(1)
        for label in labels.unique().tolist():
            mine = labels == label
            self.weights[label].lerp_(shares[mine].mean(0), 1 - past)
            self.variances[label].lerp_(spread[mine].mean(0), 1 - past).clamp_(min=_LEAST)


def _mixtures(network: nn.Module) -> _Mixtures:
    return next(module for module in network.modules() if isinstance(module, _Mixtures))
