from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outfield.errors import UserError
from outfield.reports.analyses import _tied
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.results import Results
from outfield.stats.ties import Ties, ties
from outfield.stats.units import Panel


@dataclass(frozen=True)
class TiedDetectors(Analysis):
    """Which detectors are tied: sets within which no two are told apart.

    A detector's value of a strategy is its AUROC, averaged over seeds and OOD sets; pairs of detectors are compared on
    the same strategies (Student's t of the differences, Holm over all pairs). Where there is one strategy, the OOD
    sets take its place: the answer is then about other OOD sets and this one model.

    Parameters
    ----------
    alpha : float
        The chance that any pair is wrongly told apart.
    """

    alpha: float = 0.05

    title: ClassVar[str] = "Which detectors are tied"
    question: ClassVar[str] = "Which detectors cannot be told apart?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc"})

    def of(self, results: Results) -> Result:
        found, units = _compared(results.panel.sound, self.alpha)
        return Result(_tied.table(found), _tied.said(found, "detector", "AUROC", units), _tied.picture(found, "AUROC"))


def _compared(panel: Panel, alpha: float) -> tuple[Ties, str]:
    """Detectors over strategies, or over OOD sets where there is one strategy."""
    names, means = panel.axes["detector"], panel.means
    if len(names) < 2:
        raise UserError("Expected at least two detectors to compare, but got one. Add a detector.")
    if panel.n_units > 1:
        many = "strategies" if panel.level == "strategy" else "models"
        order = np.argsort(panel.units)
        found = ties(means.mean(axis=1)[order], names=names, alpha=alpha, level=panel.level, measures=True)
        return found, f"{panel.n_units} {many}"
    if means.shape[1] < 2:
        raise UserError(
            "Expected several strategies or several OOD sets to compare detectors on, but got one of each. Add some."
        )
    found = ties(means[0], names=names, alpha=alpha, level="block", measures=True)
    return found, f"{means.shape[1]} OOD sets of one model"
