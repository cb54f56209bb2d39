"""Two studies side by side: pairs of the same strategy, seed, detector and data set; intervals over strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from outfield.reports.comparison.base import KEYS, Axis, Measure, RowComparison, apart, changes, pairs_of
from outfield.reports.results import Results
from outfield.stats import Panel, panel
from outfield.stats.intervals import jackknife
from outfield.types import Estimate


@dataclass(frozen=True, eq=False)
class StudyComparison(RowComparison):
    """Two studies, or two runs of one: the unit is the strategy, or the model where no strategy is repeated.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
    ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
    >>> found = compare(rows, rows.with_columns(value=pl.col("value") + 0.125))
    >>> found.level, found.strategies, found.overview.select("first", "second", "verdict").rows()
    ('models', 2, [(0.6875, 0.8125, 'better')])
    """

    across: ClassVar[str] = "strategy"
    of_pairs: ClassVar[tuple[str, ...]] = ("strategy", "seed", "detector", "ood")

    @classmethod
    def of_studies(cls, sides: tuple[Results, Results], titles: tuple[str, str]) -> StudyComparison:
        """Every value of the second with the value of the first that has the same keys.

        Raises
        ------
        UserError
            There is no pair.
        """
        return cls(apart(*titles), sides, pairs_of(sides[0].test, sides[1].test, KEYS))

    @property
    def level(self) -> str:
        """``strategies``, or ``models`` where no strategy is repeated."""
        repeated = self.pairs.select("strategy", "seed").unique().height > self.strategies
        return "strategies" if repeated else "models"

    @property
    def intervals(self) -> str:
        """How the intervals come about, in a sentence."""
        return (
            f"95% intervals are Student's over {self.level}; pairs have the same "
            "strategy, seed, detector and data set. n counts the units."
        )

    @property
    def strategies(self) -> int:
        """How many strategies are paired."""
        return self.pairs["strategy"].n_unique()

    @property
    def tested(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The test rows of both studies."""
        return self.sides[0].test, self.sides[1].test

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the means leave out, each with the measures that it is left out of."""
        titles: dict[str, list[str]] = {}
        for measure in self.measures:
            found = _panel(self.of(measure.metric, measure.kind), measure.over, "difference")
            doubt = (f"No intervals: {found.biased}.",) if found.biased else ()
            for note in (*found.notes, *doubt):
                titles.setdefault(note, []).append(measure.title)
        return tuple(f"{note} This is of {' and '.join(measures)}." for note, measures in titles.items())

    @cached_property
    def cells(self) -> pl.DataFrame:
        """Every AUROC that both have, the largest change first: means over seeds, and the ends of what seeds give."""
        return changes(self.of("auroc", "ood"), ("strategy", "detector", "ood"))

    def means(self, rows: pl.DataFrame, measure: Measure) -> tuple[float, float, Estimate]:
        """Both means over complete pairs, and their difference."""
        first, second = (float(_panel(rows, measure.over, side).means.mean()) for side in ("first", "second"))
        return first, second, differences(rows, measure.over, ())["all"]

    def differences(self, rows: pl.DataFrame, metric: str, column: Axis) -> Mapping[str, Estimate]:
        """Mean difference for every detector, or every OOD set, with intervals over the units."""
        return differences(rows, ("ood", "detector"), (column,))


def differences(rows: pl.DataFrame, axes: Sequence[str], apart: Sequence[str]) -> dict[str, Estimate]:
    """Mean difference for each name along ``apart`` (``all`` without one), over units and the other axes.

    Intervals are Student's over units (strategies where seeds repeat them, else models); one unit has none.

    Examples
    --------
    >>> rows = pl.DataFrame({"strategy": ["a", "b", "c"], "seed": [0, 0, 0], "difference": [0.1, 0.2, 0.3]})
    >>> found = differences(rows, (), ())["all"]
    >>> round(found.value, 2), found.low < 0 < found.high, found.n
    (0.2, True, 3)
    """
    found = _panel(rows, axes, "difference")
    kept = [at for at, axis in enumerate(axes) if axis in apart]
    over = tuple(at for at in range(len(axes)) if at not in kept)
    value = found.means.mean(axis=(0, *(1 + at for at in over)))
    names = found.axes[apart[0]] if apart else ("all",)
    if found.n_units < 2 or found.biased:
        return {
            name: Estimate(float(each), n=found.n_units) for name, each in zip(names, np.atleast_1d(value), strict=True)
        }
    means, n = found.means.mean(axis=tuple(1 + at for at in over)), found.n_units
    ends = np.atleast_2d(jackknife(value, (n * value - means) / (n - 1)))
    return {
        name: Estimate(float(each), float(low), float(high), n=found.n_units)
        for name, each, (low, high) in zip(names, np.atleast_1d(value), ends, strict=True)
    }


def _panel(rows: pl.DataFrame, axes: Sequence[str], column: Literal["first", "second", "difference"]) -> Panel:
    """The pairs that have a difference as a complete array: the same pairs whichever column is asked for."""
    whole = rows.filter(pl.col("difference").is_not_nan())
    named = whole.with_columns(model=pl.format("{} {}", "strategy", "seed"), value=pl.col(column))
    return panel(named, axes, metric=None)
