from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class MOS(PictureStrategy):
    """Classes in groups, each with a softmax of its own and an output for *others*, which members of no class have [1].

    The loss is the sum over groups of the cross-entropy of each. In the finished network the output for others is taken
    from the classes of its group, ``z_c - z_others(c)``: these are log odds, and a group's probability of others is ``1
    / (1 + sum_c exp z_c)``. The network keeps the groups, and the detector ``mos`` reads them: its score is the least
    probability of others.

    Parameters
    ----------
    count : int
        Groups; at most as many as classes.
    by : "means" or "chance"
        Groups are k-means clusters of the classes' mean features, in the network as it begins (published weights, or
        chance); or they are drawn, of equal sizes.
    groups : sequence of int
        The group of each class, 0 to ``count`` - 1, in the place of both: from a taxonomy, for example.

    Raises
    ------
    UserError
        ``by`` is something else; when training starts, groups of another number of classes.

    Examples
    --------
    >>> logits, groups = torch.zeros(1, 6), torch.tensor([0, 0, 1, 1])  # four classes, two others
    >>> group_cross_entropy(logits, torch.eye(4)[:1], groups) / torch.tensor(3.0).log()
    tensor(2.)

    References
    ----------
    [1] Huang, Li. MOS: Towards Scaling Out-of-distribution Detection for Large Semantic Space. CVPR 2021.
    """

    count: int = 3
    by: Literal["means", "chance"] = "means"
    groups: Sequence[int] = ()

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"count": (1, 1_000_000)}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "groups", tuple(self.groups))
        if self.by not in ("means", "chance"):
            raise UserError(f"Expected by of MOS as 'means' or 'chance', but got {self.by!r}. Choose one.")
        if self.groups and sorted({*self.groups}) != list(range(self.count)):
            raise UserError(
                f"Expected groups of MOS from 0 to {self.count - 1}, each with a class, but got {list(self.groups)}. "
                "Set count to the number of groups."
            )

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        name, head = last_linear(network)
        many = min(self.count, head.out_features)
        return _heads.with_head(network, name, _Grouped(head.in_features, head.out_features, others=many))

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        name, head = last_linear(network)
        return _heads.with_head(network, name, _Grouped(head.in_features, head.out_features, others=0))

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        head = _grouped(network)
        classes, many = len(head.groups), head.out_features - len(head.groups)
        if self.groups and len(self.groups) != classes:
            raise UserError(
                f"Expected the groups of {classes} classes for MOS, but got {len(self.groups)}. "
                "Give one for each class."
            )
        if self.groups:
            found = torch.tensor(self.groups)
        elif self.by == "chance":
            found = torch.randperm(classes) % many
        else:
            found = clusters(_class_means(network, data, classes), many)
        head.groups.copy_(found)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return group_cross_entropy(network(batch.x), batch.targets, _grouped(network).groups)

    @torch.no_grad()
    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        head = _grouped(network)
        return _heads.with_head(network, last_linear(network)[0], head.without_others())


class _Grouped(nn.Linear):
    """A head of C classes and one output for the others of each group; it knows the group of each class."""

    groups: Tensor

    def __init__(self, size: int, classes: int, others: int) -> None:
        super().__init__(size, classes + others)
        self.register_buffer("groups", torch.zeros(classes, dtype=torch.long))

    def without_others(self) -> _Grouped:
        """``z_c - z_others(c)``."""
        classes = len(self.groups)
        found = _Grouped(self.in_features, classes, others=0).to(self.weight.device)
        found.weight.copy_(self.weight[:classes] - self.weight[classes:][self.groups])
        found.bias.copy_(self.bias[:classes] - self.bias[classes:][self.groups])
        found.groups.copy_(self.groups)
        return found


def _grouped(network: nn.Module) -> _Grouped:
    return next(module for module in network.modules() if isinstance(module, _Grouped))


def group_cross_entropy(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """Sum over groups of the cross-entropy of their softmax over members and others.

    Parameters
    ----------
    logits : Tensor, [n, C + G]
        Classes, then the others of each group.
    targets : Tensor, [n, C]
        The share of each class; what a group's members leave is that of its others.
    groups : Tensor, [C]
    """
    classes, many = len(groups), logits.shape[1] - len(groups)
    member = functional.one_hot(groups, many).to(logits.dtype)
    inside = logits[:, :classes, None].masked_fill(member == 0, -torch.inf)
    sums = torch.cat([inside, logits[:, None, classes:]], dim=1).logsumexp(1)
    of_classes = targets * (logits[:, :classes] - sums[:, groups])
    of_others = (1 - targets @ member) * (logits[:, classes:] - sums)
    return -(of_classes.sum(1) + of_others.sum(1)).mean()


def clusters(means: Tensor, many: int) -> Tensor:
    """The k-means cluster of each class's mean, [C]."""
    rows = means.double().cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal means: fewer groups are right then
        seed = int(torch.randint(2**31 - 1, ()))
        return torch.from_numpy(KMeans(many, n_init=10, random_state=seed).fit_predict(rows).astype(np.int64))


def _class_means(network: nn.Module, data: Batch, classes: int) -> Tensor:
    """Mean feature of each class [C, D], zero for one without items."""
    features = _heads.fixed_features(network, data.x)
    member = functional.one_hot(data.targets.long(), classes).to(features.dtype)
    return member.T @ features / member.sum(0)[:, None].clamp(min=1)
