from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.models.heads import last_linear
from outfield.strategies import _heads
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.strategies.simclr import SimCLR
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class PretrainProbe(SimCLR):
    """Pre-training on other pictures, then a linear head for the task on the frozen features [1].

    What is learned first is the stream ``learn``: by its labels (cross-entropy), or without them as SimCLR does. The
    training set itself is seen by the head alone. So OOD classes can be familiar: the stream may hold them.

    Parameters
    ----------
    supervised : bool
        Learn the stream's labels; else without them.
    classes : int
        Of the stream, where its labels are learned.
    temperature, projection, crop
        As SimCLR's.

    Raises
    ------
    UserError
        A supervised run on a stream without labels, or with others than 0 to ``classes`` - 1.

    Examples
    --------
    >>> PretrainProbe(supervised=True, classes=10).streams
    frozenset({'learn'})

    References
    ----------
    [1] Miyai, Yu, Irie, Aizawa. Can Pre-trained Networks Detect Familiar Out-of-Distribution Data? 2023.
    """

    supervised: bool = False
    classes: int = 10

    streams: ClassVar[frozenset[str]] = frozenset({"learn"})
    limits: ClassVar = {**SimCLR.limits, "classes": (2, 1_000_000)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        if not self.supervised:
            return super().network(make, task)
        module = make()
        name, head = last_linear(module)
        return _heads.with_head(module, name, nn.Sequential(nn.Linear(head.in_features, self.classes)))

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        stream = data.streams["learn"]
        known = stream.y is not None and int(stream.y.min()) >= 0 and int(stream.y.max()) < self.classes
        if self.supervised and not known:
            raise UserError(
                f"Expected labels from 0 to {self.classes - 1} in the stream 'learn', but it has "
                f"{'none' if stream.y is None else 'others'}. Set `classes`, or learn without labels."
            )

    def augment(self, x: Tensor) -> Tensor:
        return PictureStrategy.augment(self, x) if self.supervised else super().augment(x)

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        return super().batch(network, replace(batch.streams["learn"], streams={}), task)

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        if not self.supervised:
            return super().loss(network, batch, task)
        return functional.cross_entropy(network(batch.x), batch.targets)
