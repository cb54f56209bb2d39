from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.tasks.base import Task, Wanted, from_sources
from outfield.tasks.classify import Classify

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class OneClass(Task):
    """What is normal, of a few known modes, is to be told from all that is not.

    The merit is whether a normal item's mode is told right: by the classifier, or by the linear head that a learner
    without labels is given at the end. It says how much of the known modes a representation keeps, so that reports can
    ask whether one that knows them better is also better at what it does not know.

    Parameters
    ----------
    id : mapping of ``train``, ``val`` and ``test`` to sources with labels
        What is normal; a label is a mode.
    ood : mapping of name to source
        What is not; ``{near: {NAME: source}}`` says the category, which else is ``far``.
    anomalies : source, optional
        The stream ``outliers``: what training may see of the rest, labelled or by mistake.
    classes : int, optional
        Number of modes, by default known once the training set is.

    Examples
    --------
    >>> import torch
    >>> from outfield.types import Outputs
    >>> from outfield_science.sources.micro_doppler import MicroDoppler
    >>> few = {"n": 4, "pulses": 8, "bursts": 8}
    >>> normal = {part: MicroDoppler((2, 4), part=name, **few) for part, name in
    ...     {"train": "fit", "val": "val", "test": "test"}.items()}
    >>> task = OneClass(normal, {"near": {"six blades": MicroDoppler((6,), **few)}})
    >>> [(one.name, one.role, len(one)) for one in task.sets(seed=0)]
    [('train', 'train', 8), ('val', 'val', 8), ('test', 'test', 8), ('six blades', 'ood', 4)]
    >>> task.merit(Outputs(logits=torch.eye(2), labels=torch.tensor([0, 0])))
    tensor([1., 0.])
    """

    id: Mapping[str, Any]
    ood: Mapping[str, Any] = field(default_factory=dict)
    anomalies: Any = None
    classes: int | None = None

    measures: ClassVar[tuple[str, ...]] = Classify.measures
    items: ClassVar[str] = "pictures"
    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})
    network: ClassVar[str] = "svdd_lenet"
    judges: ClassVar[Literal["labels", "targets", ""]] = "labels"

    @property
    def _modes(self) -> Classify:
        return Classify(classes=self.classes)

    def wanted(self, seed: int) -> Iterator[Wanted]:
        streams = {} if self.anomalies is None else {"outliers": self.anomalies}
        return from_sources(self.id, ood=self.ood, streams=streams)

    def informed(self, train: Member) -> OneClass:
        return replace(self, classes=self._modes.informed(train).classes)

    def arguments(self, train: Member) -> dict[str, Any]:
        return self._modes.arguments(train)

    def check(self, data: Batch, network: nn.Module) -> None:
        self._modes.check(data, network)

    def targets(self, batch: Batch, network: nn.Module) -> Batch:
        return self._modes.targets(batch, network)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return self._modes.loss(network, batch)

    def merit(self, out: Outputs) -> Tensor:
        return self._modes.merit(out)
