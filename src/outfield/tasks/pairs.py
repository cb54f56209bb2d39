from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks._texts import batch_of_texts, text_model
from outfield.tasks.base import Task, Wanted, from_sources

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class Pairs(Task):
    """One class of several for each pair of texts, such as whether a premise entails a hypothesis.

    Items are pairs of texts; a single text is the first of a pair whose second is empty. A network of this task
    (``pair_encoder``, ``pair_causal``) is called with pairs, and gives its own loss where it is given labels too.

    Parameters
    ----------
    id : mapping of ``train``, ``val`` and ``test`` to sources with labels
    shift : mapping of name to source with labels, optional
        The same question elsewhere: accuracy is measured.
    ood : mapping of name to source, optional
        Pairs that have no right answer; ``{near: {NAME: source}}`` says the category, which else is ``far``.
    streams : mapping of role to source, optional
        What training reads beside: ``outliers``, ``wild``, ``unlabelled``, ``learn``.

    Examples
    --------
    >>> import torch
    >>> from outfield.data.datasets import ListDataset
    >>> from outfield.types import Outputs
    >>> some = ListDataset([("It rains.", "It is wet."), "What is my balance?"], labels=[1, 0])
    >>> batch = Pairs().batch(Member("train", "train", some))
    >>> batch[torch.tensor([1])].x.items, batch.y
    ((('What is my balance?', ''),), tensor([1, 0]))
    >>> Pairs().merit(Outputs(logits=torch.eye(2), labels=torch.tensor([0, 0])))
    tensor([1., 0.])
    """

    id: Mapping[str, Any] = field(default_factory=dict)
    shift: Mapping[str, Any] = field(default_factory=dict)
    ood: Mapping[str, Any] = field(default_factory=dict)
    streams: Mapping[str, Any] = field(default_factory=dict)

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy")
    items: ClassVar[str] = "tokens"
    judges: ClassVar[Literal["labels", "targets", ""]] = "labels"

    def wanted(self, seed: int) -> Iterator[Wanted]:
        return from_sources(self.id, shift=self.shift, ood=self.ood, streams=self.streams)

    def arguments(self, train: Member) -> dict[str, Any]:
        if (labels := train.data.labels) is None:
            raise UserError("Expected labels in the training data, but it has none. Name their column.")
        return {"classes": int(labels.max()) + 1}

    def batch(self, member: Member) -> Batch:
        return batch_of_texts(member)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        found: Tensor = network(batch.x.items, batch.targets)
        return found

    def model(self, module: nn.Module, example: Any = None, **options: Any) -> Model:
        return text_model(module, **options)

    def merit(self, out: Outputs) -> Tensor:
        return (out.logits.argmax(dim=1) == out.labels).float()
