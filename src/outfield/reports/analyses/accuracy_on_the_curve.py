from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.reports.analyses import _population
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.results import Results
from outfield.stats.patterns import Curvature, curvature

ALPHA = 0.01


@dataclass(frozen=True)
class AccuracyOnTheCurve(Analysis):
    """Whether OOD against ID performance is a curve and no line, over a population of models [1].

    An F-test of a parabola against a line, over strategies, seeds averaged; of one strategy over its seeds. A
    curve says that a line drawn through weaker models foretells stronger ones wrongly.

    Parameters
    ----------
    group : str
        A group of the ID test set (a minority): its performance then takes the place of that on shifted inputs.

    References
    ----------
    [1] Liang, Mao, Kwon, Yang, Zou. Accuracy on the Curve: On the Nonlinear Correlation of ML Performance Between Data
    Subpopulations. ICML 2023.
    """

    group: str = ""

    title: ClassVar[str] = "{performance} on the line, or on a curve"
    question: ClassVar[str] = "Does OOD performance follow ID performance along a line, or along a curve?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})
    legend: ClassVar[Legend] = "family"

    def of(self, results: Results) -> Result:
        points, what = _population.points(results, self.group)
        found = curvature(points["x"], points["y"])
        picture = _population.picture(points, results, what, degree=2)
        table = points.with_columns(
            r2_line=pl.lit(found.r2_line), r2_curve=pl.lit(found.r2_curve), f=pl.lit(found.f), p=pl.lit(found.p)
        )
        return Result(table, (_answer(found), _meaning(found), _drawn(found)), picture)


def _answer(found: Curvature) -> str:
    gain = found.r2_curve - found.r2_line
    if found.p >= ALPHA:
        return f"These models do not tell a curve from a line: a parabola explains {gain:.2f} more of the variance."
    side = "down" if found.bend < 0 else "up"
    return f"OOD performance bends {side}: a parabola explains {gain:.2f} more of its variance than a line does."


def _meaning(found: Curvature) -> str:
    if found.p >= ALPHA:
        return ""
    return "A line through some of these models would foretell others wrongly: do not extrapolate along it."


def _drawn(found: Curvature) -> str:
    return (
        f"R2 is {found.r2_line:.2f} of the line (dashed) and {found.r2_curve:.2f} of the parabola over {found.n_units} "
        f"points; F(1, {found.n_units - 3}) = {found.f:.1f}, p = {found.p:.2g}."
    )
