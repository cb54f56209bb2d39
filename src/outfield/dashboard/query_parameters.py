"""The parameters that a request may carry, checked before anything is done."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from outfield.dashboard.selection import Selection
from outfield.dashboard.studies import Study

MOST = 1000
"""Rows of one page, at most."""
LAST = 1_000_000
"""The last page that can be asked for."""


class Selected(BaseModel):
    """A selection; an empty name selects nothing."""

    model: str | None = Field(None, max_length=500)
    detector: str | None = Field(None, max_length=500)
    set: str | None = Field(None, max_length=500)

    def of(self, study: Study) -> Selection:
        """The selection, of names that the study has."""
        return Selection(self.model or None, self.detector or None, self.set or None).check(study)


class Sorted(Selected):
    """Rows of a selection in an order."""

    metric: str | None = Field(None, max_length=500)
    sort: str | None = Field(None, max_length=100)
    descending: bool = False


class Paged(BaseModel):
    """One page of a table."""

    page: int = Field(1, ge=1, le=LAST)
    size: int = Field(50, ge=1, le=MOST)

    @property
    def start(self) -> int:
        return (self.page - 1) * self.size


class Rows(Sorted, Paged):
    """A page of rows."""


class Samples(Selected, Paged):
    """A page of samples."""

    sort: Literal["disagreement", "score", "row"] = "disagreement"
    descending: bool = True


class Neighbours(Samples):
    """What is before and after the sample of row ``row`` of the set ``home``, in an order."""

    home: str = Field(max_length=500)
    row: int = Field(ge=0, le=2**53)


class Item(BaseModel):
    """One input: a row of a set."""

    set: str = Field(max_length=500)
    row: int = Field(ge=0, le=2**53)


class Sample(Item):
    """One input, and the model that saw it."""

    model: str | None = Field(None, max_length=500)
