"""Is one correlation larger than another? Of different units, or of the same with or without a measure in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Level, Result, paired
from outfield.stats.relate import correlations
from outfield.types import Array, Estimate

Kind = Literal["spearman", "pearson"]


@dataclass(frozen=True, eq=False)
class CorrelationDifference(Result):
    """Two correlations, their difference with its interval, and p; ``shared`` is how the two estimates correlate.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = difference_of_correlations(rng.normal(size=(2, 40)), rng.normal(size=(2, 30)))
    >>> found.shared, found.n_units
    (0.0, 70)
    """

    first: float
    second: float
    difference: Estimate
    p: float
    shared: float
    kind: str


def difference_of_correlations(
    first: Any, second: Any, *, same_units: bool = False, kind: Kind = "spearman", confidence: float = 0.95,
    level: Level = "model",
) -> CorrelationDifference:  # fmt: skip
    """Difference of two correlations with Zou's interval [1], and a test of equality by Fisher z.

    Different units: ``z = (z1 - z2) / sqrt(v1 + v2)``. The same units: the estimates correlate, by Pearson and Filon's
    covariance [2], with a measure in common (ECE and accuracy, each with AUROC) or without; the test takes it at the
    mean correlation, as Steiger [3] and Hittner, May and Silver do. ``v = 1 / (n - 3)``, of Spearman times
    ``1 + r^2 / 2`` (Bonett and Wright). That one of two correlations is significant is no evidence that they differ.

    Parameters
    ----------
    first, second : pairs of vectors (x, y)
    same_units : bool
        Whether row i is the same unit in all four vectors.
    kind : ``spearman`` or ``pearson``

    Raises
    ------
    UserError
        Fewer than four complete units, lengths that differ, or a constant measure.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, accuracy = rng.normal(size=(2, 60))
    >>> ece = y + rng.normal(size=60)
    >>> found = difference_of_correlations((ece, y), (accuracy, y), same_units=True)
    >>> print(found.difference, round(found.p, 4))
    0.740 [0.408, 1.026] (n = 60) 0.0001

    References
    ----------
    [1] Zou (2007), Toward using confidence intervals to compare correlations, Psychological Methods.
    [2] Pearson and Filon (1898), On the probable errors of frequency constants, Philosophical Transactions A.
    [3] Steiger (1980), Tests for comparing elements of a correlation matrix, Psychological Bulletin.
    """
    if kind not in ("spearman", "pearson"):
        raise UserError(f"Expected the kind spearman or pearson, but got {kind!r}. Choose one of them.")
    if same_units:
        columns, _, notes = paired(*first, *second, names=("x1", "y1", "x2", "y2"))
        table = _correlation_matrix(columns, kind)
        values, sizes, n = np.array([table[0, 1], table[2, 3]]), np.full(2, len(columns[0])), len(columns[0])
        shared, shared_if_equal = _shared(table, values), _shared(table, _mean(values))
    else:
        parts = [paired(*pair) for pair in (first, second)]
        values = np.array([float(correlations(x, y, kind)) for (x, y), _, _ in parts])
        sizes = np.array([len(columns[0]) for columns, _, _ in parts])
        notes, n, shared, shared_if_equal = (*parts[0][2], *parts[1][2]), int(sizes.sum()), 0.0, 0.0
    ends = _zou(values, sizes, shared, kind, confidence)
    difference = intervals.estimate(float(values[0] - values[1]), ends, n, confidence=confidence)
    p = _p(values, sizes, shared_if_equal, kind)
    return CorrelationDifference(
        float(values[0]), float(values[1]), difference, p, shared, kind, level=level, n_units=n, notes=notes
    )


def _correlation_matrix(columns: list[Array], kind: Kind) -> Array:
    rows = np.stack([stats.rankdata(each) if kind == "spearman" else each for each in columns])
    return np.asarray(np.corrcoef(rows))


def _mean(values: Array) -> Array:
    """The two correlations' mean by Fisher z, twice."""
    return np.full(2, np.tanh(np.arctanh(np.clip(values, -1 + 1e-12, 1 - 1e-12)).mean()))


def _shared(table: Array, values: Array) -> float:
    """Correlation of the estimates of r_12 and r_34: Pearson and Filon's covariance over ``(1 - r^2)`` of both."""
    (a, b), (ac, ad, bc, bd) = values, (table[0, 2], table[0, 3], table[1, 2], table[1, 3])
    spread = (1 - a**2) * (1 - b**2)
    if spread <= 0:
        return 0.0
    products = a * ac * ad + a * bc * bd + ac * bc * b + ad * bd * b
    covariance = a * b * (ac**2 + ad**2 + bc**2 + bd**2) / 2 + ac * bd + ad * bc - products
    return float(np.clip(covariance / spread, -1, 1))


def _zou(values: Array, sizes: Array, shared: float, kind: Kind, confidence: float) -> tuple[float, float]:
    ends = np.array([_interval(r, int(n), kind, confidence) for r, n in zip(values, sizes, strict=True)])
    below, above = values - ends[:, 0], ends[:, 1] - values
    gap = values[0] - values[1]
    low = gap - np.sqrt(max(below[0] ** 2 + above[1] ** 2 - 2 * shared * below[0] * above[1], 0.0))
    high = gap + np.sqrt(max(above[0] ** 2 + below[1] ** 2 - 2 * shared * above[0] * below[1], 0.0))
    return float(low), float(high)


def _interval(r: float, n: int, kind: Kind, confidence: float) -> tuple[float, float]:
    if kind == "spearman":
        return intervals.bonett_wright(r, n, confidence=confidence)
    return intervals.fisher(r, 1 / np.sqrt(n - 3), confidence=confidence)


def _p(values: Array, sizes: Array, shared: float, kind: Kind) -> float:
    z = np.arctanh(np.clip(values, -1 + 1e-12, 1 - 1e-12))
    v = (1 + values**2 / 2 if kind == "spearman" else 1.0) / (sizes - 3)
    spread = v.sum() - 2 * shared * np.sqrt(v.prod())
    gap = abs(z[0] - z[1])
    return float(2 * stats.norm.sf(gap / np.sqrt(spread))) if spread > 1e-12 else float(gap < 1e-9)
