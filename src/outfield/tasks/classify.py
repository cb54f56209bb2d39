from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks._texts import batch_of_texts, holds_texts, text_model
from outfield.tasks.base import Task, Wanted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
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

    def batch(self, member: Member) -> Batch:
        return batch_of_texts(member) if holds_texts(member) else super().batch(member)

    def check(self, data: Batch, network: nn.Module) -> None:
        """A label for each item, items of every class, and a network with as many outputs as there are classes.

        Raises
        ------
        UserError
            One of them is not so.
        """
        classes = _number(self.classes)
        _check_labels(data, classes)
        _check_head(network, classes)

    def targets(self, batch: Batch, network: nn.Module) -> Batch:
        """Labels [n] as probabilities [n, C]."""
        from torch.nn import functional

        return replace(batch, y=functional.one_hot(batch.targets, _number(self.classes)).float())

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(network(batch.x), batch.targets)

    def model(self, module: nn.Module, example: Any, **options: Any) -> Model:
        """A network of texts (``text_encoder``, ``pair_encoder``) reads these itself; any other is a ``TorchModel``."""
        from outfield.models.pair_models import PairModel

        if isinstance(module, PairModel):
            return text_model(module, **options)
        return super().model(module, example, **options)

    def merit(self, out: Outputs) -> Tensor:
        import torch

        predicted = torch.from_numpy(out.logits.detach().cpu().numpy().argmax(axis=1))
        return (predicted == out.labels.cpu()).float()


def _number(classes: int | None) -> int:
    if classes is None:
        raise UserError("Expected the number of classes, but the task has none. Give it: Classify(classes=10).")
    if classes < 2:
        raise UserError(f"Expected at least 2 classes, but got {classes}. Pass data with more than one class.")
    return classes


def _check_labels(data: Batch, classes: int) -> None:
    labels = data.targets
    if labels.shape != (len(data),) or labels.is_floating_point() or not len(data):
        raise UserError(
            f"Expected one label for each item, its class as an int64, but got {len(data)} items and labels "
            f"{list(labels.shape)} of {labels.dtype}. Pass the labels of the same split."
        )
    found = set(labels.unique().tolist())
    if outside := sorted(found - set(range(classes))):
        raise UserError(
            f"Expected labels from 0 to {classes - 1}, but got {outside}. Number the classes from 0, or raise classes."
        )
    if missing := sorted(set(range(classes)) - found):
        raise UserError(
            f"Expected items of all {classes} classes, but got none of {missing}. "
            "Add items of them, or number the classes that there are from 0."
        )


def _check_head(network: nn.Module, classes: int) -> None:
    from outfield.models.heads import last_linear

    name, head = last_linear(network)
    if head.out_features != classes:
        raise UserError(
            f"Expected a network with {classes} outputs, one for each class, but its last linear layer {name!r} has "
            f"{head.out_features}. Make the network with classes={classes}."
        )
