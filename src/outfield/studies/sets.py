"""The data sets of a study, loaded: what each is called and what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from outfield.data.base import Dataset
from outfield.data.datasets import row_keys, shifted
from outfield.errors import Problems, UserError
from outfield.studies.kept import Kept
from outfield.studies.spec import OodSet, Plugin, Spec

Role = Literal["train", "val", "test", "ood", "tuning", "shift"]
SHARED = 0.01
"""Share of the smaller of two sets that may be in both; `outfield doctor --data` names every such input."""


@dataclass(frozen=True, eq=False)
class Member:
    """A data set and its place in the study."""

    name: str
    role: Role
    data: Dataset
    category: str | None = None
    shift: str | None = None
    severity: int | None = None

    @property
    def label(self) -> str:
        """Role and name, as messages show it."""
        return f"{self.role} set {self.name!r}"


@dataclass(frozen=True)
class Sets:
    """All data sets of a study."""

    train: Member
    val: Member
    test: Member
    ood: tuple[Member, ...]
    tuning: tuple[Member, ...]
    shifts: tuple[Member, ...]

    def __iter__(self) -> Iterator[Member]:
        yield from (self.train, self.val, self.test, *self.ood, *self.tuning, *self.shifts)

    @property
    def classes(self) -> int:
        """Number of classes of the ID data."""
        if (labels := self.train.data.labels) is None:
            raise UserError("Expected labels in the ID training data, but it has none.")
        return int(labels.max()) + 1


def load(spec: Spec) -> Sets:
    """Load every data set that a study names.

    Raises
    ------
    Problems
        Sets that cannot be loaded or are empty, and the same data under two roles, all together.
    """
    problems: list[str] = []
    members = {split: _load(split, getattr(spec.id, split), split, problems) for split in ("train", "val", "test")}
    ood = [_load_ood(one, "ood", problems) for one in spec.ood]
    tuning = [_load_ood(one, "tuning", problems) for one in (spec.tuning.ood if spec.tuning else ())]
    found = [member for member in (*members.values(), *ood, *tuning) if member is not None]
    if problems := [*problems, *_in_two_roles(found)]:
        raise Problems("The data of the study", problems)
    train, val, test = (_present(members[split]) for split in ("train", "val", "test"))
    shifts = tuple(_shifts(spec, test))
    return Sets(train, val, test, tuple(map(_present, ood)), tuple(map(_present, tuning)), shifts)


def _present(member: Member | None) -> Member:
    assert member is not None
    return member


def _load_ood(one: OodSet, role: Role, problems: list[str]) -> Member | None:
    return _load(one.name, one.source, role, problems, one.category)


def _load(name: str, source: Plugin, role: Role, problems: list[str], category: str | None = None) -> Member | None:
    try:
        data = source.build("sources").load()
    except UserError as error:
        problems.append(f"{role} set {name!r}: {error}")
        return None
    if not len(data):
        problems.append(f"{role} set {name!r}: expected rows, but it is empty. Give it data, or leave it out.")
        return None
    return Member(name, role, Kept(data), category)


def _shifts(spec: Spec, test: Member) -> Iterator[Member]:
    for one in spec.shifts:
        for severity in one.severities:
            data = Kept(shifted(test.data, one.shift.build("shifts"), severity, spec.seed))
            yield Member(f"{one.shift.name} {severity}", "shift", data, shift=one.shift.name, severity=severity)


def _in_two_roles(members: list[Member]) -> Iterator[str]:
    """The same inputs, by content, may not be there twice: chosen or trained on, and tested on."""
    items = {member: frozenset(row_keys(member.data).tolist()) for member in members}
    for one, other in combinations(members, 2):
        shared = len(items[one] & items[other])
        if shared > SHARED * min(len(items[one]), len(items[other])):
            yield (
                f"{one.label} and {other.label} hold the same data ({shared:,} inputs of equal content); "
                "what is chosen or trained on may not be tested on"
            )
