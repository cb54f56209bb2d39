from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._domains import head_gradients
from outfield.strategies._losses import soft_cross_entropy
from outfield.strategies._outliers import WithOutliers
from outfield.strategies._warm_up import CENTRED, WithAbsent, WithWarmUp, absent_of, log_odds, told_apart
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


class _NoOutliersWarning(UserWarning):
    """Among unlabelled items few or none stood out."""


@dataclass(frozen=True)
class SAL(WithWarmUp, WithOutliers):
    """Outliers among unlabelled items are found by their gradients, and learned as OOD: separate and learn [1].

    After the warm-up, the gradient of the head of each item of the stream ``wild``, with the label that the network
    predicts, less the mean gradient of the training set, is projected on the first right singular vector of all of
    them. An item is a candidate outlier where the squared projection exceeds a percentile of that of training items.
    From then on ``CE(x, y) + weight * (mean log(1 + exp(-s(x))) + mean log(1 + exp(s(candidate))))``, where s are the
    log-odds of ID: the finished network has them as its energy, sign turned.

    A wild set without outliers gives candidates too, a share of some ``1 - percentile``: so few are warned of.

    Parameters
    ----------
    percentile : float
        Of the training items' scores, in per cent; 95 in the paper.
    weight : float
        Of the loss of candidates; 10 in the paper's code.
    ratio : float
        Wild items a step, over the batch size; the candidates among them are learned from.

    Examples
    --------
    >>> inside, wild = torch.tensor([[0.0, 0.1], [0.0, -0.1]]), torch.tensor([[3.0, 0.0], [0.0, 0.1], [-2.0, 0.0]])
    >>> of_train, of_wild = projections(inside, wild)
    >>> of_train.tolist(), of_wild.round().tolist()
    ([0.0, 0.0], [9.0, 0.0, 4.0])

    References
    ----------
    [1] Du, Fang, Diakonikolas, Li. How Does Unlabeled Data Provably Help Out-of-Distribution Detection? ICLR 2024.
    """

    percentile: float = 95.0
    weight: float = 10.0
    ratio: float = 2.0
    warm_up: float = 0.67
    tuning: float = 0.01

    family: ClassVar[str] = "wild data"
    streams: ClassVar[frozenset[str]] = frozenset({"wild"})
    limits: ClassVar = {
        **WithOutliers.limits,
        **WithWarmUp.limits,
        "percentile": (0.0, 100.0),
        "weight": (0.0, 1000.0),
    }

    def data(self, data: Batch, task: Task) -> Batch:
        wild = data.streams["wild"]
        return replace(data, streams={"wild": replace(wild, rows=torch.arange(len(wild)))})

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _WithWild(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        held, wild = _wild_of(network), data.streams["wild"]
        held.x, held.y, held.wild = data.x, data.targets, wild.x
        held.candidates = torch.zeros(len(wild), dtype=torch.bool)

    def prepare(self, network: nn.Module, task: Task) -> None:
        held = _wild_of(network)
        assert held.x is not None
        held.candidates = self.separated(held)
        held.centre(held.x[:CENTRED])
        share = float(held.candidates.float().mean())
        if share < LEAST * (1 - self.percentile / 100):
            warnings.warn(
                f"Expected outliers among the wild items, but {share:.1%} of them lie beyond the {self.percentile:g}th "
                "percentile of the training items, hardly more than of ID items. The detector learns little from them.",
                _NoOutliersWarning,
                stacklevel=2,
            )

    def separated(self, held: _WithWild) -> Tensor:
        """Which wild items are candidate outliers, [n]."""
        assert held.x is not None and held.y is not None and held.wild is not None
        scores, wild = projections(gradients(held.network, held.x, held.y), gradients(held.network, held.wild))
        return wild > torch.quantile(scores, self.percentile / 100)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        held, wild = _wild_of(network), batch.streams["wild"]
        chosen = wild.x[held.candidates[wild.rows]]
        logits, absent = held.answers(torch.cat([batch.x, chosen]))
        inside, outside = log_odds(logits, absent).split([len(batch.x), len(chosen)])
        entropy = soft_cross_entropy(logits[: len(batch.x)], batch.targets)
        return entropy + self.weight * told_apart(inside, outside)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return absent_of(network).folded()


LEAST = 2.0
"""So many times the share beyond the percentile are expected of a wild set with outliers."""


class _WithWild(WithAbsent):
    """The network with its training set, the wild items, and which of them are candidates."""

    wild: Tensor | None
    candidates: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.register_buffer("wild", None, persistent=False)
        self.register_buffer("candidates", torch.zeros(0, dtype=torch.bool))


def _wild_of(network: nn.Module) -> _WithWild:
    return next(module for module in network.modules() if isinstance(module, _WithWild))


@torch.no_grad()
def gradients(network: nn.Module, x: Tensor, labels: Tensor | None = None, size: int = 1024) -> Tensor:
    """Each item's gradient of the cross-entropy by the head, [n, C (D + 1)], in evaluation mode.

    Without labels it is by the class that the network predicts.
    """
    head, training = last_linear(network)[1], network.training
    network.eval()
    features = torch.cat([_heads.features(network, chunk) for chunk in x.split(size)])
    network.train(training)
    logits = head(features)
    labels = logits.argmax(1) if labels is None else labels
    return head_gradients(logits, functional.one_hot(labels, logits.shape[1]).to(logits), features)


def projections(inside: Tensor, wild: Tensor) -> tuple[Tensor, Tensor]:
    """Squared projections of gradients, less the mean of ID items, on the first singular vector of the wild ones."""
    mean = inside.mean(0)
    _, _, rows = torch.linalg.svd(wild - mean, full_matrices=False)
    return ((inside - mean) @ rows[0]).square(), ((wild - mean) @ rows[0]).square()
