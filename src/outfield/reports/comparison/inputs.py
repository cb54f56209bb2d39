"""AUROCs of two models on the same inputs, with DeLong's paired intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.metrics._ranking import Placements
from outfield.stats import holm
from outfield.store.scores import ID
from outfield.types import Array, Estimate

PLACE = ("set", "part", "row")
"""What tells one scored input from another."""
Z = float(stats.norm.ppf(0.975))
Read = Callable[[], pl.DataFrame]
"""Gives one detector's scores: set, part, row, score."""
Placed = tuple[str, Placements, Placements]
"""An OOD set, and where each model places its inputs and the ID ones among each other."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Differences of the AUROCs of two models scored on the same inputs, with DeLong's paired intervals.

    The ID inputs are shared by all sets, so that means over sets and detectors average each input's placements first.
    Means over detectors are of the inputs that every detector scored, those of one detector of all its own.

    Parameters
    ----------
    whole : Estimate
        Mean over detectors and OOD sets.
    means : pair of float
        The mean AUROCs of the first and the second model that ``whole`` is the difference of.
    detectors, sets : mapping of name to Estimate
    cells : frame
        detector, ood, first, second, difference, low, high, p by Holm.
    notes : tuple of str
        What the means over detectors leave out.
    """

    whole: Estimate
    means: tuple[float, float]
    detectors: Mapping[str, Estimate]
    sets: Mapping[str, Estimate]
    cells: pl.DataFrame
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, readers: Mapping[str, tuple[Read, Read]], sets: Collection[str]) -> Inputs:
        """From what reads both models' scores of each detector, on these OOD sets; two detectors' are held at a time.

        Raises
        ------
        UserError
            The inputs differ, or too few of them are scored by every detector.

        Examples
        --------
        >>> places = {"set": ["test", "test", "far", "far"], "part": [None] * 4, "row": [0, 1, 0, 1]}
        >>> one, two = (pl.DataFrame(places | {"score": [0.1, known, 0.5, 0.9]}) for known in (0.6, 0.2))
        >>> Inputs.of({"msp": (lambda: one, lambda: two)}, ["far"]).means
        (0.75, 1.0)
        """
        shared, most = _shared(_side_by_side(*both, sets) for both in readers.values())
        whole, of_set, detectors, cells = _Sum(), defaultdict[str, _Sum](_Sum), dict[str, Estimate](), []
        for detector, both in readers.items():
            table = _side_by_side(*both, sets)
            if own := list(_placed(table)):
                detectors[detector] = _Sum.of(*own).estimate()
            cells += [_cell(detector, placed) for placed in own]
            for placed in _placed(table.join(shared, on=PLACE, how="semi", nulls_equal=True, maintain_order="left")):
                whole.add(*placed)
                of_set[placed[0]].add(*placed)
        if not cells:
            raise UserError("Expected scores of the same inputs in both, but the data sets differ.")
        means = {name: each.estimate() for name, each in of_set.items()}
        found = pl.DataFrame(cells).with_columns(p=pl.Series(holm([_p(cell) for cell in cells])))
        return cls(whole.estimate(), whole.means, detectors, means, found, tuple(_fewer(shared.height, most)))


@dataclass
class _Sum:
    """Differences of placements, added up: of the ID inputs once, of each OOD set apart."""

    id: Array | float = 0.0
    ood: dict[str, Array] = field(default_factory=dict)
    first: float = 0.0
    second: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, *placed: Placed) -> _Sum:
        """What some sets add up to."""
        found = cls()
        for each in placed:
            found.add(*each)
        return found

    def add(self, ood: str, first: Placements, second: Placements) -> None:
        self.id = self.id + (second.id - first.id)
        self.ood[ood] = self.ood.get(ood, 0.0) + (second.ood - first.ood)
        self.first += first.auroc
        self.second += second.auroc
        self.count += 1

    @property
    def means(self) -> tuple[float, float]:
        """Mean AUROCs of the first and the second model."""
        return self.first / self.count, self.second / self.count

    def estimate(self) -> Estimate:
        """Mean of the differences added, and its interval."""
        parts = [np.asarray(self.id), *self.ood.values()]
        variance = sum(float(np.var(part / self.count, ddof=1)) / len(part) for part in parts)
        value = sum(float(part.mean()) for part in self.ood.values()) / self.count
        half = Z * float(np.sqrt(variance))
        return Estimate(value, value - half, value + half, n=sum(map(len, parts)))


def _cell(detector: str, placed: Placed) -> dict[str, Any]:
    ood, first, second = placed
    found = _Sum.of(placed).estimate()
    aurocs = {"first": first.auroc, "second": second.auroc, "difference": found.value}
    return {"detector": detector, "ood": ood} | aurocs | {"low": found.low, "high": found.high}


def _shared(tables: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, int]:
    """The inputs that every detector scored that scored their set, and how many some detector scored.

    Raises
    ------
    UserError
        Fewer than two inputs of a set are left.
    """
    common: dict[str, pl.DataFrame] = {}
    most: dict[str, int] = {}
    for table in tables:
        for (name,), own in table.select(PLACE).group_by("set", maintain_order=True):
            known = common.get(str(name), own)
            most[str(name)] = max(most.get(str(name), 0), own.height)
            same = known.equals(own)
            common[str(name)] = known if same else known.join(own, on=PLACE, how="semi", nulls_equal=True)
    if not common:
        raise UserError("Expected scores of the same inputs in both, but the data sets differ.")
    if few := [name for name, places in common.items() if places.height < 2]:
        raise UserError(
            f"Expected two inputs of {', '.join(few)} or more that every detector scored, but there are fewer. "
            "Compare studies whose detectors scored the same inputs."
        )
    return pl.concat(common.values()), sum(most.values())


def _fewer(shared: int, most: int) -> Iterator[str]:
    if shared < most:
        yield (
            f"Means over detectors are of the {shared:,} of {most:,} inputs that every detector scored, so that all "
            "are compared on the same; those of one detector are of all that it scored."
        )


def _p(row: Mapping[str, Any]) -> float:
    error = (row["high"] - row["low"]) / (2 * Z)
    return float(2 * stats.norm.sf(abs(row["difference"]) / error)) if error else float(row["difference"] == 0)


def _side_by_side(one: Read, two: Read, sets: Collection[str]) -> pl.DataFrame:
    """Both models' scores (set, part, row, first, second) on the ID test set and every OOD set of the same inputs."""
    tables = [read().sort(PLACE, nulls_last=False) for read in (one, two)]
    pairs = [[table.filter(pl.col("set") == name) for table in tables] for name in (ID, *sets)]
    kept = [a.rename({"score": "first"}).with_columns(second=b["score"]) for a, b in pairs if _of_one(a, b)]
    if len(kept) < 2 or kept[0]["set"][0] != ID:
        return tables[0].head(0).select(*PLACE, first="score", second="score")
    return pl.concat(kept)


def _of_one(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    """Whether two tables of scores are of the same inputs, and of any."""
    return first.height > 0 and first.drop("score").equals(second.drop("score"))


def _placed(table: pl.DataFrame) -> Iterator[Placed]:
    """Both models' placements on every OOD set."""
    parts = table.partition_by("set", as_dict=True, maintain_order=True)
    known = parts.pop((ID,), table.head(0))
    for (ood,), own in parts.items():
        first, second = (Placements.of(known[side].to_numpy(), own[side].to_numpy()) for side in ("first", "second"))
        yield str(ood), first, second
