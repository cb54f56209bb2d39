"""ID and OOD performance of a population of models: along, against, flat or curved, and what choosing by ID costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any, Literal

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Result, paired, vector
from outfield.stats.relate import pearson
from outfield.types import Array, Estimate

Shape = Literal["positive", "inverse", "flat", "none"]
LEAST = 6
"""Models below which no pattern is told."""
CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class Curvature(Result):
    """Whether a curve fits OOD performance better than a line.

    Attributes
    ----------
    r2_line, r2_curve : float
        Shares of variance that the line, and the parabola, explain.
    f, p : float
        F-test of the parabola against the line, with 1 and n - 3 degrees of freedom.
    bend : float
        Coefficient of the square; below 0 the curve bends down.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)
    >>> found = curvature(x, x**2)
    >>> round(found.r2_line, 2), round(found.r2_curve, 2), found.p < 0.01
    (0.0, 1.0, True)
    """

    r2_line: float
    r2_curve: float
    f: float
    p: float
    bend: float


@dataclass(frozen=True, eq=False)
class Pattern(Result):
    """How OOD performance goes with ID performance.

    Attributes
    ----------
    shape : ``positive``, ``inverse``, ``flat`` or ``none``
        ``flat``: it does not move, however good the model is on ID inputs; ``none``: these models do not tell.
    r : Estimate
        Pearson's correlation with Fisher's interval; no number where OOD performance is constant.
    slope : float
        Of the line.
    p : float
        Two-sided, of no slope.
    p_steep : float
        Of a slope as steep as the bound or steeper, to either side: below alpha, the pattern is flat.

    Examples
    --------
    >>> x = np.linspace(0.6, 0.9, 12)
    >>> pattern(x, 1.2 - x + 0.01 * np.sin(90 * x)).shape, pattern(x, 0.5 + 0.001 * np.sin(90 * x)).shape
    ('inverse', 'flat')
    """

    shape: Shape
    r: Estimate
    slope: float
    p: float
    p_steep: float


def curvature(x: Any, y: Any) -> Curvature:
    """F-test of a parabola against a line [1].

    ``F = (RSS_line - RSS_curve) / (RSS_curve / (n - 3))``.

    Raises
    ------
    UserError
        Fewer than six complete rows, a column is constant, or ``x`` has two values, between which no curve shows.

    References
    ----------
    [1] Liang, Mao, Kwon, Yang, Zou. Accuracy on the Curve: On the Nonlinear Correlation of ML Performance Between Data
    Subpopulations. ICML 2023.
    """
    (one, two), _, notes = paired(x, y, least=LEAST)
    scaled = (one - one.mean()) / one.std()
    curve, (_, rank, *_) = np.polynomial.polynomial.polyfit(scaled, two, 2, full=True)
    if rank < 3:
        raise UserError("Expected three values of ID performance to see a curve, but got two. Add models.")
    line = np.polynomial.polynomial.polyfit(scaled, two, 1)
    rss = [float(((two - np.polynomial.polynomial.polyval(scaled, fit)) ** 2).sum()) for fit in (line, curve)]
    total, free = float(((two - two.mean()) ** 2).sum()), len(one) - 3
    f = (rss[0] - rss[1]) / (rss[1] / free) if rss[1] > CONSTANT * total else np.inf * (rss[0] > CONSTANT * total)
    f = 0.0 if np.isnan(f) else float(f)
    return Curvature(
        1 - rss[0] / total, 1 - rss[1] / total, f, float(stats.f.sf(f, 1, free)), float(curve[2]),
        n_units=len(one), notes=notes,
    )  # fmt: skip


def pattern(x: Any, y: Any, *, flat: float = 0.1, alpha: float = 0.01) -> Pattern:
    """Whether OOD performance rises, falls or stays as ID performance rises over a population of models [1].

    ``flat`` where two one-sided tests show that the slope is less steep than ``flat`` to both sides; else ``positive``
    or ``inverse`` where the slope differs from 0; else ``none``: too few models, or no relation that a line shows.

    Parameters
    ----------
    x, y : array-like [n]
        ID and OOD performance of each model, in one unit and higher better.
    flat : float
        The steepest slope that is called flat: points of OOD performance for one point of ID performance.
    alpha : float
        Level of each test.

    Raises
    ------
    UserError
        Fewer than six complete rows, or ID performance is constant.

    References
    ----------
    [1] Teney, Lin, Oh, Abbasnejad. ID and OOD Performance Are Sometimes Inversely Correlated on Real-world Datasets.
    NeurIPS 2023.
    """
    one, two = np.asarray(x, float), np.asarray(y, float)
    known = two[np.isfinite(two)]
    if len(known) >= LEAST and np.ptp(known) <= CONSTANT:
        return Pattern("flat", Estimate(nan, n=len(known)), 0.0, 1.0, 0.0, n_units=len(known))
    (one, two), _, notes = paired(one, two, least=LEAST)
    line, free = stats.linregress(one, two), len(one) - 2
    error = max(float(line.stderr), CONSTANT)
    steep = max(float(stats.t.sf((flat - side * line.slope) / error, free)) for side in (1, -1))
    return Pattern(
        _shape(float(line.slope), float(line.pvalue), steep, alpha), pearson(one, two).estimate, float(line.slope),
        float(line.pvalue), steep, n_units=len(one), notes=notes,
    )  # fmt: skip


def _shape(slope: float, p: float, p_steep: float, alpha: float) -> Shape:
    if p_steep < alpha:
        return "flat"
    if p >= alpha:
        return "none"
    return "positive" if slope > 0 else "inverse"


def regret(x: Any, y: Any) -> float:
    """What is lost by choosing the model that is best on ID inputs: the best OOD performance less that of the choice.

    Of several equally good on ID inputs the mean.

    Examples
    --------
    >>> round(regret([0.9, 0.8, 0.9], [0.5, 0.7, 0.6]), 2)
    0.15
    """
    one, two = vector(x), vector(y)
    known = np.isfinite(one) & np.isfinite(two)
    if not known.any():
        raise UserError("Expected models with both performances, but there is none. Add models.")
    one, two = one[known], two[known]
    chosen: Array = one >= one.max() - CONSTANT
    return float(two.max() - two[chosen].mean())
