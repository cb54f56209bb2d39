"""A data set and its place in what is measured: the one noun of studies, cards and trajectories."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset
from outfield.data.in_memory import Kept
from outfield.data.sampling import sampled_rows
from outfield.data.views import subset
from outfield.errors import UserError

Category = Literal["near", "far", "extreme", "synthetic"]
"""How far an OOD set lies from ID data; synthetic sets show nothing that there is."""
Role = Literal["train", "val", "test", "ood", "tuning", "shift", "outliers", "wild", "unlabelled", "learn"]
"""What a set is for. The last four are streams: training reads them beside the training set."""

STREAMS = ("outliers", "wild", "unlabelled", "learn")
KINDS = {"ood": "ood", "tuning": "ood", "shift": "shift"}
"""Role to ``set_kind`` of a row; what is not here is ``id``."""


@dataclass(frozen=True, eq=False)
class Member:
    """A data set with its role.

    Parameters
    ----------
    name : str
    role : Role
    data : Dataset
    category : str, optional
        Of an OOD set: near, far, extreme or synthetic. A shift that has one is scored by detectors too.
    shift : str, optional
        Name of the covariate shift.
    severity : int, optional
    rows : array [n], optional
        Numbers of the rows in the whole set, where this is a sample of it.
    full_spectrum : bool
        Of a shift: detectors score it, and its inputs are counted among the ID inputs by full-spectrum measures.

    Examples
    --------
    >>> from outfield.data.datasets import ListDataset
    >>> films = Member("films", "ood", ListDataset(["a film", "a play", "a song"]), "far")
    >>> films.label, films.kind, films.sampled(2, seed=0).rows
    ("ood set 'films'", 'ood', array([0, 2]))
    """

    name: str
    role: Role
    data: Dataset
    category: str | None = None
    shift: str | None = None
    severity: int | None = None
    rows: NDArray[np.int64] | None = None
    full_spectrum: bool = False

    def __len__(self) -> int:
        return len(self.data)

    @property
    def label(self) -> str:
        """Role and name, as messages show it."""
        return f"{self.role} set {self.name!r}"

    @property
    def kind(self) -> str:
        """``id``, ``ood`` or ``shift``, as rows say it."""
        return KINDS.get(self.role, "id")

    @property
    def scored(self) -> bool:
        """Whether detectors score it: the ID test set, OOD sets, and shifts of a category or full-spectrum."""
        placed = self.category is not None or self.full_spectrum
        return self.role in ("test", "ood") or (self.role == "shift" and placed)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the rows in the whole set [n], so that values of samples and of all can be paired."""
        return np.arange(len(self.data)) if self.rows is None else self.rows

    def columns(self) -> dict[str, Any]:
        """What a row says of the set that it is about.

        Examples
        --------
        >>> from outfield.data.datasets import ListDataset
        >>> Member("films", "ood", ListDataset(["a film"]), "far").columns()
        {'ood': 'films', 'set_kind': 'ood', 'ood_category': 'far', 'shift': None, 'severity': None}
        """
        return {
            "ood": None if self.kind == "id" else self.name,
            "set_kind": self.kind,
            "ood_category": self.category,
            "shift": self.shift,
            "severity": self.severity,
        }

    def sampled(self, limit: int, seed: int) -> Member:
        """At most ``limit`` of its inputs; itself where it has no more.

        Examples
        --------
        >>> from outfield.data.datasets import ListDataset
        >>> films = Member("films", "ood", ListDataset(["a", "b", "c", "d"]), "far")
        >>> some = films.sampled(2, seed=0)
        >>> len(some), len(some.numbers), films.sampled(9, seed=0) is films
        (2, 2, True)
        """
        if len(self.data) <= limit:
            return self
        rows = sampled_rows(self.data, limit, seed)
        return replace(self, data=Kept(subset(self.data, rows)), rows=rows)


@dataclass(frozen=True)
class Counted:
    """A data set that somebody else holds: its number of items and its content key are known, its items are not.

    Raises
    ------
    UserError
        An item is read.

    Examples
    --------
    >>> len(Counted(5000)), Counted(5000, "ab12").digest()
    (5000, 'ab12')
    >>> Counted(5000).read(slice(0, 1))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected items to read, but this set was given by its size alone. Give a ...
    """

    n: int
    content: str = ""
    labels: None = None
    classes: None = None

    def __len__(self) -> int:
        return self.n

    def read(self, rows: slice | NDArray[np.int64]) -> Any:
        """No items are here."""
        raise UserError(
            "Expected items to read, but this set was given by its size alone. Give a data set in its place."
        )

    def digest(self) -> str:
        """The content key; empty where it is not known."""
        return self.content
