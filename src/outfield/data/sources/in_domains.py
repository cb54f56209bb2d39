from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data import sampling, views
from outfield.data.base import Dataset, Source
from outfield.data.datasets import group_names_of, groups_of
from outfield.errors import UserError, listed


@dataclass(frozen=True)
class InDomains(Source):
    """The rows of another source in some of its domains, or in all but some: a share of each domain and class.

    A domain is a group of the rows. Shares that do not overlap, with the same seed, have no row in common.

    Parameters
    ----------
    of : Source, or the mapping that names one
        Its rows have groups.
    domains : tuple of str
        Names of groups.
    others : bool
        All domains but those.
    start, stop : float
    seed : int

    Raises
    ------
    UserError
        Rows without groups, or a domain that they do not have.

    Examples
    --------
    >>> from outfield.data.sources.domains import Domains
    >>> sites = Domains("site", "all")
    >>> known, new = InDomains(sites, ("site 4",), others=True).load(), InDomains(sites, ("site 4",)).load()
    >>> np.unique(known.groups), np.unique(new.groups), len(known) + len(new)
    (array([0, 1, 2, 3]), array([4]), 1797)
    """

    of: Source
    domains: tuple[str, ...]
    others: bool = False
    start: float = 0.0
    stop: float = 1.0
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"any"})

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(f"Expected a source with domains, but got {self.of!r}. Name one with `source`.")

    def files(self) -> Sequence[Path] | None:
        return self.of.files()

    def load(self) -> Dataset:
        whole = self.of.load()
        groups, names = groups_of(whole), group_names_of(whole)
        if groups is None or names is None:
            raise UserError("Expected rows of named domains, but the source has no groups. Name the column: `group`.")
        there = [names[one] for one in np.unique(groups)]
        if absent := [one for one in self.domains if one not in there]:
            raise UserError(
                f"Expected domains of the source, but it has no {listed(absent)}: it has {listed(there)}. "
                "Name some of these."
            )
        chosen = np.isin(groups, [names.index(one) for one in self.domains]) != self.others
        if not chosen.any():
            raise UserError(f"Expected a domain beside {listed(self.domains)}, but there is none. Leave fewer out.")
        some = views.subset(whole, chosen)
        strata = groups[chosen] if some.labels is None else groups[chosen] * (some.labels.max() + 1) + some.labels
        return sampling.between(some, self.start, self.stop, self.seed, by=strata)
