from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np

from outfield.data.base import Source
from outfield.data.datasets import group_names_of, groups_of, row_keys
from outfield.data.member import STREAMS, Member, Role
from outfield.data.sources.in_domains import InDomains
from outfield.errors import UserError, listed
from outfield.tasks.base import Wanted
from outfield.tasks.classify import Classify


@dataclass(frozen=True, kw_only=True)
class Domains(Classify):
    """Leave one domain out: learned in some domains, tested in others that neither training nor choice has seen [1].

    Domains are the groups of the source's rows. Those that are not left out are split .7, .15, .15 into training, ID
    validation and ID test set, each domain and class alike. Each left-out domain is a shifted set of its name, whose
    labels stay, and detectors score it.

    Models are chosen on the ID validation set, and it alone: a validation set of one's own that holds an input of a
    left-out domain, or one that names it as its domain, is refused. Where the source has splits, all of them are read.

    Parameters
    ----------
    source : Source
        With labels and groups, such as ``wilds`` and ``domains``.
    leave_out : tuple of str
        Names of domains.
    val : Source, optional
        Another ID validation set, of training domains; by default rows of them that are held out.
    streams : mapping of role to source, optional

    Raises
    ------
    UserError
        No source, or no domain that is left out.

    Examples
    --------
    >>> from outfield.data.sources.domains import Domains as Digits
    >>> task = Domains(source=Digits("site"), leave_out=("site 4",))
    >>> [(one.name, one.role, len(one)) for one in task.sets(seed=0)]
    [('train', 'train', 998), ('val', 'val', 213), ('test', 'test', 214), ('site 4', 'shift', 372)]

    References
    ----------
    [1] Gulrajani, Lopez-Paz. In Search of Lost Domain Generalization. ICLR 2021.
    """

    source: Source
    leave_out: tuple[str, ...]
    val: Source | None = None
    streams: Mapping[str, Any] = field(default_factory=dict)

    chooses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.source, Source):
            raise UserError(f"Expected a source with domains, but got {self.source!r}. Name one: `source: ...`.")
        if not self.leave_out:
            raise UserError("Expected a domain to leave out, but got none. Name one: `leave_out: [site 4]`.")
        if unknown := sorted(set(self.streams) - set(STREAMS)):
            raise UserError(f"Expected streams among {', '.join(STREAMS)}, but got {listed(unknown)}. Rename them.")

    def wanted(self, seed: int) -> Iterator[Wanted]:
        whole = self.source.whole()
        train, val, test = (
            InDomains(whole, self.leave_out, True, start, stop, seed)
            for start, stop in ((0.0, 0.7), (0.7, 0.85), (0.85, 1.0))
        )
        yield Wanted("train", "train", train)
        yield Wanted("val", "val", self.val or val)
        yield Wanted("test", "test", test)
        for name in self.leave_out:
            yield Wanted(name, "shift", InDomains(whole, (name,)), "near")
        for role, source in self.streams.items():
            yield Wanted(role, cast(Role, role), source)

    def faults(self, members: Sequence[Member]) -> Iterator[str]:
        """A validation set that holds anything of a left-out domain, by content or by the name of its domain."""
        left_out = [one for one in members if one.role == "shift"]
        for val in (one for one in members if one.role == "val"):
            seen = set(row_keys(val.data).tolist())
            for domain in left_out:
                if shared := len(seen.intersection(row_keys(domain.data).tolist())):
                    yield (
                        f"{val.label}: {shared:,} of its inputs are of the domain {domain.name!r}, which is left out; "
                        "choose models on training domains alone"
                    )
            if named := sorted(_domains(val) & set(self.leave_out)):
                yield (
                    f"{val.label}: it has inputs of {listed(named)}, left out; choose models on training domains alone"
                )


def _domains(member: Member) -> set[str]:
    groups, names = groups_of(member.data), group_names_of(member.data)
    return set() if groups is None or names is None else {names[one] for one in np.unique(groups)}
