"""What a task is: what is to be learned, where it is tested, and what counts as good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from outfield.data.base import Source
from outfield.data.datasets import groups_of, targets_of
from outfield.data.member import STREAMS, Member, Role
from outfield.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class Wanted:
    """A set that a source loads, with its place in the task."""

    name: str
    role: Role
    source: Source
    category: str | None = None
    shift: str | None = None
    severity: int | None = None

    def load(self) -> Member:
        """The set, loaded."""
        return Member(self.name, self.role, self.source.load(), self.category, self.shift, self.severity)


def from_sources(
    id: Mapping[str, Any],
    *,
    shift: Mapping[str, Any] | None = None,
    ood: Mapping[str, Any] | None = None,
    streams: Mapping[str, Any] | None = None,
    category_of_shifts: str | None = None,
) -> Iterator[Wanted]:
    """The sets of a task whose file names sources: ID splits, shifts, OOD sets (by category, or all ``far``), streams.

    Raises
    ------
    UserError
        An ID split that is not named; what is no source; a stream that there is not.
    """
    _check_names("id", id, ("train", "val", "test"), every=True)
    _check_names("streams", streams or {}, STREAMS)
    for split, source in id.items():
        yield Wanted(split, cast("Role", split), _source(f"id.{split}", source))
    for name, source in (shift or {}).items():
        yield Wanted(name, "shift", _source(f"shift.{name}", source), category_of_shifts, shift=name)
    for name, category, source in _by_category(ood or {}):
        yield Wanted(name, "ood", _source(f"ood.{name}", source), category)
    for role, source in (streams or {}).items():
        yield Wanted(role, cast("Role", role), _source(f"streams.{role}", source))


def _by_category(ood: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in ood.items():
        if isinstance(value, Mapping):
            yield from ((each, name, source) for each, source in value.items())
        else:
            yield name, "far", value


def _check_names(field: str, given: Mapping[str, Any], known: tuple[str, ...], *, every: bool = False) -> None:
    missing = [name for name in known if every and name not in given]
    if missing or not set(given) <= set(known):
        raise UserError(
            f"Expected {field} of {', '.join(known)}, but got {', '.join(map(str, given)) or 'none'}. "
            f"Write a source for each{'' if every else ' that there is'}."
        )


def _source(where: str, source: Any) -> Source:
    if not isinstance(source, Source):
        raise UserError(f"Expected a source at {where}, a mapping with its name, but got {source!r}. Name a source.")
    return source


class Task(ABC):
    """What is learned, where it is tested, and what counts as good. Its fields are its parameters.

    A task is a frozen dataclass: repr, JSON, keys and study files come from its fields. Its module imports no torch
    when it is loaded, since reports ask a task for its measures.
    """

    measures: ClassVar[tuple[str, ...]]
    """Names of metrics. The first is the performance: what reports and statistics set beside detection."""
    items: ClassVar[str] = "any"
    """What the items are: ``pictures``, ``tokens``, ``rows``, ``episodes`` or ``any``."""
    network: ClassVar[str] = ""
    """The network plug-in that is trained where the study names none; empty where there is no such."""

    judges: ClassVar[Literal["labels", "targets", ""]] = ""
    """Which right answers the merit compares with: class labels, targets, or none (a return needs none)."""

    @abstractmethod
    def wanted(self, seed: int) -> Iterator[Wanted]:
        """Every set that a source loads: ``train``, ``val``, ``test`` once; ``ood``, ``tuning``, ``shift``, streams."""

    def derived(self, members: Sequence[Member], seed: int) -> Iterator[Member]:
        """Sets that are made of those that were loaded, such as shifted pictures."""
        return iter(())

    def sets(self, seed: int) -> Iterator[Member]:
        """Every data set, loaded.

        Raises
        ------
        UserError
            Data that cannot be read.
        """
        loaded = [one.load() for one in self.wanted(seed)]
        yield from loaded
        yield from self.derived(loaded, seed)

    def informed(self, train: Member) -> Task:
        """The task once its training set is known: with what depends on it, such as the number of classes."""
        return self

    def arguments(self, train: Member) -> dict[str, Any]:
        """What a network plug-in is given beside its own parameters, such as ``classes``."""
        return {}

    def batch(self, member: Member) -> Batch:
        """A set as training takes it: what a network is given, right answers where there are any, and groups."""
        import torch

        from outfield.models.preprocess import fitting
        from outfield.types import Batch

        data = member.data
        items = data.read(slice(0, len(data)))
        answers = {"labels": data.labels, "targets": targets_of(data)}.get(self.judges)
        y, groups = (None if values is None else torch.tensor(values) for values in (answers, groups_of(data)))
        return Batch(fitting(items)(items), y, groups)

    def check(self, data: Batch, network: nn.Module) -> None:  # noqa: B027  # most networks fit most tasks
        """``UserError`` where training data, or a network, do not fit the task."""

    def targets(self, batch: Batch, network: nn.Module) -> Batch:
        """A batch of a step with its targets as the loss takes them, such as a probability for each class."""
        return batch

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """What a step descends, where the strategy does not say otherwise."""

    def model(self, module: nn.Module, example: Any, **options: Any) -> Model:
        """The trained module as a model that can be measured; ``options`` are those of ``TorchModel``."""
        from outfield.models.torch import TorchModel

        return TorchModel(module, example, **options)

    @abstractmethod
    def merit(self, out: Outputs) -> Tensor:
        """How good the answer to each item is [n], higher is better: right or not, minus an error, a return.

        ``out`` has logits or predictions, and the labels or targets of the items.
        """
