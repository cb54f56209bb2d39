"""The data sets of a study, loaded: what each is called and what it is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

from outfield import keys
from outfield.data.base import Dataset
from outfield.data.datasets import row_keys
from outfield.data.in_memory import Kept
from outfield.data.labels import numbers_only, places
from outfield.data.member import STREAMS, Member
from outfield.data.sampling import sample
from outfield.data.views import in_order, shifted
from outfield.errors import NotThere, Problems, UserError
from outfield.features.cache import Cache
from outfield.studies.remembered_keys import know, look
from outfield.studies.spec import Spec
from outfield.tasks.base import Task, Wanted
from outfield.tasks.classify import Classify
from outfield.types import Batch

SHARED = 0.01
"""Share of the smaller of two sets that may be in both; `outfield doctor --data` names every such input."""


@dataclass(frozen=True)
class Sets:
    """All data sets of a study.

    ``missing`` tells of those that are not there; ``probed`` are samples of all for the detectors that query the model
    beyond its forward pass, where the study limits their inputs. ``streams`` are what training reads beside, and are
    not measured.

    Examples
    --------
    >>> from outfield.data.member import Counted
    >>> train, val, test = (Member(split, split, Counted(90)) for split in ("train", "val", "test"))
    >>> sets = Sets(train, val, test, ood=(Member("films", "ood", Counted(30), "far"),), tuning=(), shifts=())
    >>> [member.label for member in sets]
    ["train set 'train'", "val set 'val'", "test set 'test'", "ood set 'films'"]
    """

    train: Member
    val: Member
    test: Member
    ood: tuple[Member, ...]
    tuning: tuple[Member, ...]
    shifts: tuple[Member, ...]
    missing: tuple[str, ...] = ()
    probed: Sets | None = None
    task: Task = field(default_factory=Classify)
    streams: tuple[Member, ...] = ()

    def __iter__(self) -> Iterator[Member]:
        yield from (self.train, self.val, self.test, *self.ood, *self.tuning, *self.shifts)

    @property
    def classes(self) -> int:
        """Number of classes of the ID data."""
        if (labels := self.train.data.labels) is None:
            raise UserError("Expected labels in the ID training data, but it has none.")
        return int(labels.max()) + 1

    def training_set(self) -> Batch:
        """The training set as the loop takes it, with its streams."""
        return replace(self.task.batch(self.train), streams={one.role: self.task.batch(one) for one in self.streams})

    def sampled(self, limit: int, seed: int) -> Sets:
        """The same sets, each with at most ``limit`` inputs; shifts that no detector scores are left as they are."""
        train, val, test = (one.sampled(limit, seed) for one in (self.train, self.val, self.test))
        ood, tuning = (tuple(one.sampled(limit, seed) for one in some) for some in (self.ood, self.tuning))
        shifts = tuple(one.sampled(limit, seed) if one.full_spectrum else one for one in self.shifts)
        return replace(self, train=train, val=val, test=test, ood=ood, tuning=tuning, shifts=shifts)


@dataclass
class Found:
    """What a study's data came to: the sets that are there, those that are not, and what is wrong with others."""

    spec: Spec
    task: Task
    members: list[Member]
    missing: list[str]
    problems: list[str]

    @property
    def ready(self) -> bool:
        """Whether there is enough to measure: the ID data, an OOD set, and one to tune on where the study tunes."""
        roles = {member.role for member in self.members}
        wanted = {"train", "val", "test"} | ({"ood"} if self.spec.task is None else set())
        return roles >= wanted | ({"tuning"} if self.spec.tuning else set())

    def sets(self) -> Sets:
        """The sets, shifted ones made.

        Raises
        ------
        Problems
            Sets that cannot be used; or the ID data, every OOD set, or every set to tune on are not there.
        """
        if self.problems or not self.ready:
            raise Problems("The data of the study", [*self.problems, *self.missing])
        (train,), (val,), (test,) = (self._of(role) for role in ("train", "val", "test"))
        made = [*_shifts(self.spec, test), *self.task.derived(self.members, self.spec.seed)]
        shifts, ood = ((*_of(made, role), *self._of(role)) for role in ("shift", "ood"))
        if self.spec.full_spectrum:
            shifts = tuple(replace(one, full_spectrum=True) for one in shifts)
        task, streams = self.task.informed(train), tuple(one for one in self.members if one.role in STREAMS)
        sets = Sets(train, val, test, ood, self._of("tuning"), shifts, tuple(self.missing), task=task, streams=streams)
        limit = self.spec.probe_limit
        return sets if limit is None else replace(sets, probed=sets.sampled(limit, self.spec.seed))

    def _of(self, role: str) -> tuple[Member, ...]:
        return _of(self.members, role)


def _of(members: Iterable[Member], role: str) -> tuple[Member, ...]:
    return tuple(member for member in members if member.role == role)


def load(spec: Spec, cache: Cache | None = None) -> Sets:
    """Load every data set that a study names; with a cache, large files that were not touched are not read for keys.

    Sets whose files are not there are left out and told in ``missing``, as long as something is left to measure.

    Raises
    ------
    Problems
        Sets that cannot be read or are empty, the same data under two roles, and ID data that is not there, all
        together.
    """
    return survey(spec, cache).sets()


def survey(spec: Spec, cache: Cache | None = None) -> Found:
    """Look for every data set that a study names, and load those that are there."""
    found = Found(spec, task_of(spec), [], [], [])
    for one in found.task.wanted(spec.seed):
        try:
            found.members.append(_loaded(one, cache))
        except NotThere as error:
            found.missing.append(f"{one.role} set {one.name!r}: {error}")
        except UserError as error:
            found.problems.append(f"{one.role} set {one.name!r}: {error}")
    found.problems += [*in_two_roles(found.members), *found.task.faults(found.members)]
    found.members, strange = _alike(found.members)
    found.problems += strange
    return found


def _alike(members: list[Member]) -> tuple[list[Member], list[str]]:
    """The sets with the labels of the ID data in the order of the training set's classes, and what does not fit."""
    train = next((one.data.classes for one in members if one.role == "train"), None)
    found, problems = [], []
    for one in members:
        try:
            found.append(replace(one, data=ordered_like(one.data, train)) if one.role in OF_ID else one)
        except UserError as error:
            problems.append(f"{one.label}: {error}")
    return found, problems


def ordered_like(data: Dataset, classes: tuple[str, ...] | None) -> Dataset:
    """Data with labels in the order of the training set's classes, where both name them.

    A training set that has 0, 1, ... for names takes other names by number.

    Raises
    ------
    UserError
        Rows of classes that the training set does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from outfield.data.datasets import ListDataset
    >>> pets = ListDataset(["a", "b"], labels=np.array([0, 1]), classes=("cat", "dog"))
    >>> ordered_like(pets, ("dog", "cat", "fox")).labels
    array([1, 0])
    """
    if data.classes is None or classes is None or data.classes == classes:
        return data
    if numbers_only(classes) and (places(data.classes, classes) < 0).all():
        return data
    ordered = in_order(data, classes, of="the ID training set")
    return data if ordered is data else Kept(ordered)


OF_ID = ("val", "test", "shift")
"""Roles of the sets that have the classes of the training set."""


def like_trained(spec: Spec, role: str, data: Dataset) -> Dataset:
    """A set of a study that was loaded alone, with its labels as the study has them: in the training set's order.

    As it is where the training set is not there.

    Raises
    ------
    UserError
        Rows of classes that the training set does not have.
    """
    if role not in OF_ID or data.classes is None:
        return data
    try:
        train = next(one.source.load() for one in wanted(spec) if one.role == "train")
    except UserError:
        return data
    return ordered_like(data, train.classes)


def task_of(spec: Spec) -> Task:
    """The task of a study; without one, classification of the sets that the study names.

    Examples
    --------
    >>> from outfield.studies.spec import shipped
    >>> task_of(Spec.load(shipped("digits"))).measures[0], task_of(Spec.load(shipped("diabetes"))).measures[0]
    ('accuracy', 'mean_absolute_error')
    """
    task: Task = Classify(tuple(_of_classification(spec))) if spec.task is None else spec.task.build("tasks")
    return task


def wanted(spec: Spec) -> Iterator[Wanted]:
    """Every data set that a study loads, with its place; those that shifts make are not among them.

    Examples
    --------
    >>> from outfield.studies.spec import shipped
    >>> [one.name for one in wanted(Spec.load(shipped("digits")))][:4]
    ['train', 'val', 'test', 'digit 8']
    """
    return task_of(spec).wanted(spec.seed)


def _of_classification(spec: Spec) -> Iterator[Wanted]:
    assert spec.id is not None
    for split in ("train", "val", "test"):
        yield Wanted(split, split, getattr(spec.id, split).build("sources"))
    yield from (Wanted(one.name, "ood", one.source.build("sources"), one.category) for one in spec.ood)
    tuning = spec.tuning.ood if spec.tuning else ()
    yield from (Wanted(one.name, "tuning", one.source.build("sources"), one.category) for one in tuning)
    yield from (Wanted(one.name, "shift", one.source.build("sources"), shift=one.name) for one in spec.shifted)
    yield from (Wanted(role, role, source.build("sources")) for role, source in spec.streams.items())


def _loaded(wanted: Wanted, cache: Cache | None) -> Member:
    looked = look(wanted.source) if cache else None
    member = wanted.load()
    if not len(member):
        raise UserError("Expected rows, but it is empty. Give it data, or leave it out.")
    if cache:
        know(member.data, looked, cache, source=wanted.source, code=keys.of_code(type(wanted.source)))
    return replace(member, data=Kept(member.data))


def _shifts(spec: Spec, test: Member) -> Iterator[Member]:
    for one in spec.shifts:
        of = test.data if one.limit is None else sample(test.data, one.limit, spec.seed)
        for severity in one.severities:
            data = Kept(shifted(of, one.shift.build("shifts"), severity, spec.seed))
            yield Member(f"{one.title} {severity}", "shift", data, shift=one.title, severity=severity)


def in_two_roles(members: list[Member]) -> Iterator[str]:
    """The same inputs, by content, may not be there twice: chosen or trained on, and tested on.

    Examples
    --------
    >>> from outfield.data.datasets import ListDataset
    >>> films = ListDataset(["a film", "a play"])
    >>> next(in_two_roles([Member("train", "train", films), Member("films", "ood", films)])).partition(";")[0]
    "train set 'train' and ood set 'films' hold the same data (2 inputs of equal content)"
    """
    items = {member: frozenset(row_keys(member.data).tolist()) for member in members}
    for one, other in combinations(members, 2):
        shared = len(items[one] & items[other])
        if shared > SHARED * min(len(items[one]), len(items[other])):
            yield (
                f"{one.label} and {other.label} hold the same data ({shared:,} inputs of equal content); "
                "what is chosen or trained on may not be tested on"
            )
