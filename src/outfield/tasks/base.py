"""What a task is: what is to be learned, where it is tested, and what counts as good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from outfield.data.base import Source
from outfield.data.datasets import groups_of, targets_of
from outfield.data.member import STREAMS, Member, Role
from outfield.errors import Problems

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class Wanted:
    """A set that a source loads, with its place in the task.

    Examples
    --------
    >>> from outfield.data.sources.diabetes import Diabetes
    >>> old = Wanted("60 and older", "shift", Diabetes(ages=(60, 120)), category="near")
    >>> len(old.load()), old.load().scored
    (103, True)
    """

    __pydantic_config__: ClassVar = {"arbitrary_types_allowed": True}

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
    Problems
        An ID split that is not named; what is no source; a stream that there is not; a name that is used twice.

    Examples
    --------
    >>> from outfield.data.sources.diabetes import Diabetes
    >>> id = {"train": Diabetes(part="fit"), "val": Diabetes(part="val"), "test": Diabetes(part="test")}
    >>> found = from_sources(id, ood={"near": {"old": Diabetes(ages=(60, 120))}, "young": Diabetes(ages=(0, 30))})
    >>> [(one.name, one.role, one.category) for one in found][3:]
    [('old', 'ood', 'near'), ('young', 'ood', 'far')]
    """
    problems = [*_misnamed("id", id, _SPLITS, every=True), *_misnamed("streams", streams or {}, STREAMS)]
    given = {"id": id, "shift": shift or {}, "streams": streams or {}}
    placed = {f"{field}.{name}": source for field, some in given.items() for name, source in some.items()}
    placed |= {f"ood.{name}": source for name, _, source in _by_category(ood or {})}
    problems += [
        f"{where}: expected a source, a mapping with its name, but got {source!r}"
        for where, source in placed.items()
        if not isinstance(source, Source)
    ]
    names = [*_SPLITS, *(shift or {}), *(name for name, _, _ in _by_category(ood or {}))]
    problems += [
        f"the name {name!r} is used more than once; give each set its own, none of them {', '.join(_SPLITS)}"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise Problems("The sets of the task", problems)
    for split, source in id.items():
        yield Wanted(split, cast("Role", split), source)
    for name, source in (shift or {}).items():
        yield Wanted(name, "shift", source, category_of_shifts, shift=name)
    for name, category, source in _by_category(ood or {}):
        yield Wanted(name, "ood", source, category)
    for role, source in (streams or {}).items():
        yield Wanted(role, cast("Role", role), source)


_SPLITS = ("train", "val", "test")


def _by_category(ood: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in ood.items():
        if isinstance(value, Mapping):
            yield from ((each, name, source) for each, source in value.items())
        else:
            yield name, "far", value


def _misnamed(field: str, given: Mapping[str, Any], known: tuple[str, ...], *, every: bool = False) -> Iterator[str]:
    missing = [name for name in known if every and name not in given]
    if missing or not set(given) <= set(known):
        yield (
            f"{field}: expected {', '.join(known)}, but got {', '.join(map(str, given)) or 'none'}; "
            f"write a source for each{'' if every else ' that there is'}"
        )


class Task(ABC):
    """What is learned, where it is tested, and what counts as good. Its fields are its parameters.

    A task is a frozen dataclass: repr, JSON, keys and study files come from its fields. Its module imports no torch
    when it is loaded, since reports ask a task for its measures.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Signs(Task):
    ...     measures = ("exact_match",)
    ...     def wanted(self, seed):
    ...         return iter(())
    ...     def loss(self, network, batch):
    ...         return (network(batch.x) - batch.targets).square().mean()
    ...     def merit(self, out):
    ...         return (out.predictions.sign() == out.targets.sign()).float()
    >>> import torch
    >>> from outfield.types import Outputs
    >>> Signs().merit(Outputs(predictions=torch.tensor([0.2, 3.0]), targets=torch.tensor([-1.0, 1.0])))
    tensor([0., 1.])
    """

    __pydantic_config__: ClassVar = {"arbitrary_types_allowed": True}

    measures: ClassVar[tuple[str, ...]]
    """Names of metrics. The first is the performance: what reports and statistics set beside detection."""
    items: ClassVar[str] = "any"
    """What the items are: ``pictures``, ``tokens``, ``rows``, ``episodes`` or ``any``."""
    network: ClassVar[str] = ""
    """The network plug-in that is trained where the study names none; empty where there is no such."""

    chooses: ClassVar[bool] = False
    """Whether models are chosen by their performance on the ID validation set, which is then measured too."""
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

        Examples
        --------
        >>> from outfield.data.sources.diabetes import Diabetes
        >>> from outfield.tasks.regress import Regress
        >>> splits = {"train": Diabetes(part="fit"), "val": Diabetes(part="val"), "test": Diabetes(part="test")}
        >>> [(member.label, len(member)) for member in Regress(splits).sets(seed=0)]
        [("train set 'train'", 221), ("val set 'val'", 111), ("test set 'test'", 110)]
        """
        loaded = [one.load() for one in self.wanted(seed)]
        yield from loaded
        yield from self.derived(loaded, seed)

    def faults(self, members: Sequence[Member]) -> Iterator[str]:
        """What is wrong with the loaded sets together, beside what no study allows; in sentences."""
        return iter(())

    def informed(self, train: Member) -> Task:
        """The task once its training set is known: with what depends on it, such as the number of classes."""
        return self

    def arguments(self, train: Member) -> dict[str, Any]:
        """What a network plug-in is given beside its own parameters, such as ``classes``.

        Examples
        --------
        >>> import numpy as np
        >>> from outfield.data.datasets import ListDataset
        >>> from outfield.tasks.classify import Classify
        >>> pets = ListDataset(["a", "b", "c"], labels=np.array([0, 2, 1]))
        >>> Classify().arguments(Member("train", "train", pets))
        {'classes': 3}
        """
        return {}

    def batch(self, member: Member) -> Batch:
        """A set as training takes it: what a network is given, right answers where there are any, and groups.

        Examples
        --------
        >>> from outfield.data.sources.diabetes import Diabetes
        >>> from outfield.tasks.regress import Regress
        >>> batch = Regress({}).batch(Member("train", "train", Diabetes(part="fit").load()))
        >>> batch.x.shape[1], batch.targets.shape[1], batch.groups
        (10, 1, None)
        """
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
