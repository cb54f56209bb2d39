"""Selective prediction: how the error rate grows with the share of inputs that a model answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError
from outfield.metrics.aurc import Aurc
from outfield.stats.base import Result, vector
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

SCALE_NOTE = (
    "AUTC depends on the scale of a score (1 - p gives another value than -log p): it compares models under one "
    "score, and does not rank detectors."
)


@dataclass(frozen=True, eq=False)
class RiskCoverage(Result):
    """Risk-coverage curve, its area (AURC), and the excess over the best possible order of the same errors.

    Examples
    --------
    >>> risk_coverage([0.1, 0.2, 0.3, 0.4], [True, True, True, False]).frame().rows()
    [(0.25, 0.0), (0.5, 0.0), (0.75, 0.0), (1.0, 0.25)]
    """

    coverage: Array
    risk: Array
    aurc: Estimate
    excess: float

    def frame(self) -> pl.DataFrame:
        import polars as pl

        return pl.DataFrame({"coverage": self.coverage, "risk": self.risk})

    def plot(self) -> alt.TopLevelMixin:
        """The curve: error rate among the answered against the share answered."""
        import altair as alt

        from outfield.stats import _plots

        step = max(1, len(self.coverage) // 400)
        rows = [{"coverage": c, "risk": r} for c, r in zip(self.coverage[::step], self.risk[::step], strict=True)]
        line = alt.Chart(_plots.data(rows)).mark_line(color=_plots.BLUE)
        title = f"AURC {self.aurc.value:.4f}, excess {self.excess:.4f}"
        percent = alt.Axis(format="%")
        x, y = alt.X("coverage:Q", axis=percent), alt.Y("risk:Q", axis=percent, title="error rate of the answered")
        return _plots.styled(line.encode(x=x, y=y).properties(width=420, height=260, title=title))


def risk_coverage(scores: Any, correct: Any) -> RiskCoverage:
    """Risk-coverage curve of a score (higher is further out, answered last), AURC and excess AURC [1].

    Excess AURC subtracts the area of an oracle that ranks every error last. Ties are answered together.

    Parameters
    ----------
    scores : vector [n]
    correct : vector [n] of bool

    Raises
    ------
    UserError
        Lengths differ, or no scores.

    Examples
    --------
    >>> found = risk_coverage([0.1, 0.2, 0.3], [True, False, True])
    >>> round(found.aurc.value, 4), round(found.excess, 4)
    (0.2778, 0.1667)

    References
    ----------
    [1] Geifman, Uziel, El-Yaniv, Bias-reduced uncertainty estimation for deep neural classifiers, ICLR 2019.
    """
    values, right = vector(scores, "scores"), np.asarray(correct).astype(bool)
    if len(values) != len(right) or not len(values):
        raise UserError(f"Expected a score for each of {len(right)} predictions, but got {len(values)}. Pass one each.")
    aurc = Aurc()(values, right)
    ends, wrong = _at_ties(values, right)
    n, errors = len(values), int((~right).sum())
    best = sum(i / (n - errors + i) for i in range(1, errors + 1)) / n
    return RiskCoverage(ends / n, wrong / ends, aurc, aurc.value - best, level="sample", n_units=n, notes=(SCALE_NOTE,))


def _at_ties(values: Array, right: Array) -> tuple[Array, Array]:
    """Numbers answered, and wrong among them, at the end of each group of equal scores."""
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1) + 1
    return ends, np.cumsum(~right[order])[ends - 1]
