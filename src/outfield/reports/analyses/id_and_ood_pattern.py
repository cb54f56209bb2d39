from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.reports.analyses import _population
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.headline import number
from outfield.reports.results import Results
from outfield.stats.patterns import Pattern, pattern, regret

SAYS = {
    "positive": "Models that are better on ID inputs are better on {what} too",
    "inverse": "Models that are better on ID inputs are worse on {what}: what helps here harms there",
    "flat": "Performance on {what} hardly moves, however good a model is on ID inputs",
    "none": "Whether better ID performance goes with better performance on {what}, these models do not tell",
}


@dataclass(frozen=True)
class IdAndOodPattern(Analysis):
    """Whether OOD performance rises, falls or stays as ID performance rises, and what choosing by ID costs [1].

    Of a line over strategies, seeds averaged (of one strategy over its seeds): positive or inverse where its slope
    differs from 0, flat where the slope is shown to be less steep than ``flat``, else none.

    Parameters
    ----------
    group : str
        A group of the ID test set: its performance then takes the place of that on shifted inputs.
    flat : float
        The steepest slope that is called flat.

    References
    ----------
    [1] Teney, Lin, Oh, Abbasnejad. ID and OOD Performance Are Sometimes Inversely Correlated on Real-world Datasets.
    NeurIPS 2023.
    """

    group: str = ""
    flat: float = 0.1

    title: ClassVar[str] = "Does OOD performance rise with ID performance?"
    question: ClassVar[str] = "Is OOD performance higher, lower or the same where ID performance is higher?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})
    legend: ClassVar[Legend] = "family"

    def of(self, results: Results) -> Result:
        points, what = _population.points(results, self.group)
        found = pattern(points["x"], points["y"], flat=self.flat)
        lost = regret(points["x"], points["y"])
        table = points.with_columns(pattern=pl.lit(found.shape), slope=pl.lit(found.slope), regret=pl.lit(lost))
        picture = _population.picture(points, results, what, degree=1)
        return Result(table, (_answer(found, what), _regret(lost, what, results), self._drawn(found)), picture)

    def _drawn(self, found: Pattern) -> str:
        return (
            f"Slope {found.slope:.2f} over {found.n_units} points (p = {found.p:.2g} of no slope; p = "
            f"{found.p_steep:.2g} of one as steep as {self.flat:g} to either side); 0.01 is the level of each."
        )


def _answer(found: Pattern, what: str) -> str:
    said = SAYS[found.shape].format(what=what)
    return f"{said}: Pearson's r is {number(found.r)}." if found.r.value == found.r.value else f"{said}."


def _regret(lost: float, what: str, results: Results) -> str:
    if lost <= 0:
        return f"The model that is best on ID inputs is best on {what} too."
    return (
        f"Choosing the model by its ID {results.measure.word} gives up {lost:.3f} on {what} against the best of them; "
        "the best of many is overrated a little, and so is that loss."
    )
