from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks.base import Task, Wanted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class Classify(Task):
    """One class of several for each item. A study file that names no task has this one, with its own sets.

    Parameters
    ----------
    named : tuple of Wanted
        The sets; a study file gives them as ``id``, ``ood``, ``shifted`` and ``tuning``.
    classes : int, optional
        Number of classes C; by default known once the training set is (``informed``).

    Examples
    --------
    >>> import torch
    >>> from outfield.types import Outputs
    >>> Classify().merit(Outputs(logits=torch.eye(2), labels=torch.tensor([0, 0])))
    tensor([1., 0.])
    """

    named: tuple[Wanted, ...] = ()
    classes: int | None = None

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "nll", "brier", "ece")
    judges: ClassVar[Literal["labels", "targets", ""]] = "labels"

    def wanted(self, seed: int) -> Iterator[Wanted]:
        return iter(self.named)

    def informed(self, train: Member) -> Classify:
        if (labels := train.data.labels) is None:
            raise UserError("Expected labels in the ID training data, but it has none.")
        return replace(self, classes=int(labels.max()) + 1)

    def arguments(self, train: Member) -> dict[str, Any]:
        return {"classes": self.informed(train).classes}

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        from torch.nn import functional

        assert batch.y is not None
        return functional.cross_entropy(network(batch.x), batch.y)

    def merit(self, out: Outputs) -> Tensor:
        import torch

        predicted = torch.from_numpy(out.logits.detach().cpu().numpy().argmax(axis=1))
        return (predicted == out.labels.cpu()).float()
