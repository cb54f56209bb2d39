"""What is selected: a model, a detector, a set, each or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import polars as pl

from outfield.dashboard.studies import Study, Unknown

ID_SET = "test"
"""What the ID test set is called among the sets of scores."""


@dataclass(frozen=True)
class Selection:
    """A model, a detector, a set; None is all."""

    model: str | None = None
    detector: str | None = None
    set: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Those that select something."""
        return tuple(name for name, value in asdict(self).items() if value is not None)

    def narrower(self) -> Iterator[Selection]:
        """Itself, then with fewer and fewer fields, down to none; the model is let go first, the detector last."""
        order = ("detector", "set", "model")
        own = [name for name in order if name in self.fields]
        for size in range(len(own), -1, -1):
            for kept in combinations(own, size):
                yield self.only(kept)

    def only(self, kept: tuple[str, ...]) -> Selection:
        """The same with these fields alone."""
        return replace(self, **{name: None for name in self.fields if name not in kept})

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that it selects; those of no detector, or of no OOD set, belong to every one."""
        if self.model is not None:
            rows = rows.filter(pl.col("model") == self.model)
        if self.detector is not None:
            rows = rows.filter((pl.col("detector") == self.detector) | pl.col("detector").is_null())
        if self.set is not None and self.set != ID_SET:
            rows = rows.filter((pl.col("ood") == self.set) | (pl.col("set_kind") != "ood"))
        return rows

    def belonging(self) -> tuple[str, list[Any]]:
        """The same condition in SQL, and its parameters."""
        parts = [("model", "model = ?"), ("detector", "(detector = ? OR detector IS NULL)")]
        parts += [("set", "(ood = ? OR set_kind <> 'ood')")] if self.set != ID_SET else []
        kept = [(part, getattr(self, field)) for field, part in parts if field in self.fields]
        return " AND ".join(["true", *(part for part, _ in kept)]), [value for _, value in kept]

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL that picks just these rows, and its parameters."""
        conditions, values = ["true"], []
        for name in ("model", "detector"):
            if (value := getattr(self, name)) is not None:
                conditions.append(f"{name} = ?")
                values.append(value)
        if self.set == ID_SET:
            conditions.append("set_kind = 'id'")
        elif self.set is not None:
            conditions.append("ood = ?")
            values.append(self.set)
        return " AND ".join(conditions), values

    def check(self, study: Study) -> Selection:
        """Itself; ``Unknown`` where the study has no such model, detector or set."""
        known = names(study)
        for field in self.fields:
            if (value := getattr(self, field)) not in known[field]:
                raise Unknown(f"Expected a {field} of this study, but got {value!r}. Choose one from its list.")
        return self


def names(study: Study) -> dict[str, frozenset[str]]:
    """What can be selected of a study."""

    def found() -> dict[str, frozenset[str]]:
        columns = {"model": "model", "detector": "detector", "set": "ood"}
        asked = {field: study.index.ask(f"SELECT DISTINCT {column} FROM rows WHERE {column} IS NOT NULL")
                 for field, column in columns.items()}  # fmt: skip
        sets = {field: frozenset(map(str, table.to_series())) for field, table in asked.items()}
        return sets | {"set": sets["set"] | {ID_SET}}

    return study.once("names", found)
