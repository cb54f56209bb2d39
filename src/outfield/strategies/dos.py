from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies._outliers import WithOutliers, answers
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class DOS(WithOutliers):
    """One outlier of each kind a step, the one that looks most like ID data: diverse outlier sampling [1].

    The network has an output for *absent* beside the classes. A pool of outliers is clustered by k-means on features of
    length 1; of each cluster the item with the least probability of *absent* is learned as absent. In the finished
    network that output is taken from the others, ``z_c - z_absent``: their energy ranks inputs as the probability of
    *absent* does, and their softmax is the one over classes.

    Parameters
    ----------
    pool : float
        Outliers that a step chooses from, over the batch size.
    ratio : float
        Outliers that it learns from, over the batch size; as many clusters are made.
    weight : float
        Of their loss.

    Examples
    --------
    >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> diverse(features, torch.tensor([0.9, 0.2, 0.7]), 2, seed=0).sort().values  # the least absent of each cluster
    tensor([1, 2])

    References
    ----------
    [1] Jiang, Cheng, Wei, Zhu, Wang, Shi. DOS: Diverse Outlier Sampling for Out-of-Distribution Detection. ICLR 2024.
    """

    pool: float = 4.0
    ratio: float = 1.0
    weight: float = 1.0

    limits: ClassVar = {**WithOutliers.limits, "pool": (0.01, 1000.0), "weight": (0.0, 100.0)}

    def stream_size(self, role: str) -> int:
        return max(1, round(self.pool * self.batch_size))

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        name, head = last_linear(network)
        return _heads.with_head(network, name, nn.Linear(head.in_features, head.out_features + 1))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        batch = super().batch(network, batch, task)
        outliers = batch.streams["outliers"].x
        count = min(max(1, round(self.ratio * len(batch))), len(outliers))
        features, logits = _asked(network, outliers)
        seed = int(torch.randint(2**31 - 1, ()))
        chosen = diverse(features, logits.softmax(1)[:, -1], count, seed)
        return replace(batch, streams={"outliers": Batch(outliers[chosen])})

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        inside, outside = answers(network, batch)
        targets = functional.pad(batch.targets, (0, 1))
        absent = targets.new_full((len(outside),), outside.shape[1] - 1, dtype=torch.long)
        return functional.cross_entropy(inside, targets) + self.weight * functional.cross_entropy(outside, absent)

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        name, head = last_linear(network)
        return _heads.with_head(network, name, without_absent(head))


@torch.no_grad()
def without_absent(head: nn.Linear) -> nn.Linear:
    """The head of C + 1 outputs as one of C, ``z_c - z_absent``."""
    found = nn.Linear(head.in_features, head.out_features - 1, device=head.weight.device)
    found.weight.copy_(head.weight[:-1] - head.weight[-1])
    found.bias.copy_(head.bias[:-1] - head.bias[-1])
    return found


def diverse(features: Tensor, absent: Tensor, count: int, seed: int) -> Tensor:
    """Rows, one of each cluster of the features' directions: those with the least probability of *absent*."""
    directions = functional.normalize(features, dim=1).cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal rows: fewer clusters are right then
        clusters = torch.from_numpy(KMeans(count, n_init=1, max_iter=10, random_state=seed).fit_predict(directions))
    order = absent.cpu().argsort(stable=True)
    first = {int(clusters[row]): int(row) for row in reversed(order.tolist())}
    return torch.tensor(sorted(first.values()), device=features.device)


@torch.no_grad()
def _asked(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits as the network gives them when it does not learn."""
    network.eval()
    features = _heads.features(network, x)
    logits: Tensor = last_linear(network)[1](features)
    network.train()
    return features, logits
