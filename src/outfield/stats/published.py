"""What published figures allow to compute: F and omega2 from shares, W from a chi squared, p and intervals from n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Result
from outfield.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

RESIDUAL = "residual"
ROUNDING = 0.02
"""How far published shares may miss 1 by rounding."""


@dataclass(frozen=True, eq=False)
class PublishedShares(Result):
    """F, p, omega2 and partial eta2 of every term whose share was published: a row a term."""

    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        """omega2 of every term."""
        from outfield.stats import _plots

        return _plots.estimates({row["term"]: Estimate(row["omega2"]) for row in self.table.to_dicts()})


def published_shares(shares: Mapping[str, float], levels: Mapping[str, int], n: int) -> PublishedShares:
    """F and omega2 of a balanced factorial design from its published shares of variance (eta2).

    ``F = (eta2 / df) / (eta2_residual / df_residual)``, ``omega2 = (eta2 - df m) / (1 + m)`` with
    ``m = eta2_residual / df_residual``. A share of a term with thousands of degrees of freedom is mostly noise: omega2
    takes that off. F takes rows as independent, as the paper did.

    Parameters
    ----------
    shares : terms as ``a x b``, and ``residual``, to shares in [0, 1]
    levels : factors to their numbers of levels
    n : number of rows

    Raises
    ------
    UserError
        No residual, a factor without levels, shares that do not add up to 1, or no degrees of freedom left.

    Examples
    --------
    >>> import polars as pl
    >>> found = published_shares({"a": 0.5, "residual": 0.5}, {"a": 3}, 33)
    >>> found.frame().select("term", "df", "f", "omega2").with_columns(pl.col("omega2").round(3)).row(0)
    ('a', 2, 15.0, 0.459)
    """
    import polars as pl

    _check(shares, levels)
    df = {term: prod(levels[name] - 1 for name in term.split(" x ")) for term in shares if term != RESIDUAL}
    spare = n - 1 - sum(df.values())
    if spare < 1:
        raise UserError(f"Expected more rows than the terms take, but got {n} for {n - spare}. Check levels and n.")
    noise = shares[RESIDUAL] / spare
    rows = [_row(term, shares[term], many, (noise, spare)) for term, many in df.items()]
    said = "F and p take rows as independent units, as the published analysis did."
    return PublishedShares(pl.DataFrame(rows), level="pooled", n_units=n, notes=(said,))


def _check(shares: Mapping[str, float], levels: Mapping[str, int]) -> None:
    if RESIDUAL not in shares or not isclose(sum(shares.values()), 1, abs_tol=ROUNDING):
        raise UserError(
            f"Expected shares of all terms and the {RESIDUAL} that add up to 1, but got {', '.join(shares)} with a "
            f"sum of {sum(shares.values()):.3f}. Shares are of the total (eta2), not partial ones."
        )
    names = {name for term in shares if term != RESIDUAL for name in term.split(" x ")}
    if missing := sorted(names - set(levels)):
        raise UserError(f"Expected the number of levels of {', '.join(missing)}, but got {dict(levels)}. Add them.")


def _row(term: str, share: float, df: int, residual: tuple[float, int]) -> dict[str, Any]:
    noise, spare = residual
    f = share / df / noise
    return {
        "term": term, "df": df, "eta2": share, "f": f, "p": float(stats.f.sf(f, df, spare)),
        "omega2": (share - df * noise) / (1 + noise), "partial_eta2": share / (share + noise * spare),
    }  # fmt: skip


def kendalls_w(chi2: float, blocks: int, treatments: int) -> float:
    """Kendall's W of a published Friedman chi squared, ``chi2 / (blocks (treatments - 1))``.

    Raises
    ------
    UserError
        W is not between 0 and 1: the numbers of blocks and treatments are not those of the test.

    Examples
    --------
    >>> round(kendalls_w(467.97, blocks=56, treatments=21), 3)
    0.418
    """
    w = chi2 / (blocks * (treatments - 1))
    if not 0 <= w <= 1:
        raise UserError(
            f"Expected a chi squared between 0 and blocks x (treatments - 1) = {blocks * (treatments - 1)}, but got "
            f"{chi2:g}. Check the numbers of blocks and treatments."
        )
    return w


@dataclass(frozen=True, eq=False)
class PublishedCorrelation(Result):
    """A published correlation with the interval and p that its number of units gives."""

    kind: str
    estimate: Estimate
    p: float


def published_correlation(
    value: float, n: int, *, kind: Literal["spearman", "pearson"] = "spearman", confidence: float = 0.95
) -> PublishedCorrelation:
    """Interval and p of a published correlation of n independent units.

    Intervals as :func:`outfield.stats.spearman` and :func:`outfield.stats.pearson`; p by Student's t on n - 2.

    Raises
    ------
    UserError
        A value outside [-1, 1], or fewer than four units.

    Examples
    --------
    >>> found = published_correlation(0.04, 56)
    >>> print(found.estimate, round(found.p, 2))
    0.040 [-0.225, 0.300] (n = 56) 0.77
    """
    if not -1 <= value <= 1 or n < 4:
        raise UserError(
            f"Expected a correlation in [-1, 1] of four units or more, but got {value:g} of {n}. Check both."
        )
    if kind == "spearman":
        ends = intervals.bonett_wright(value, n, confidence=confidence)
    else:
        ends = intervals.fisher(value, 1 / np.sqrt(n - 3), confidence=confidence)
    t = np.inf if abs(value) == 1 else abs(value) * np.sqrt((n - 2) / (1 - value**2))
    found = intervals.estimate(value, ends, n, confidence=confidence)
    return PublishedCorrelation(kind, found, float(2 * stats.t.sf(t, n - 2)), n_units=n)


def published_mean(mean: float, sd: float, n: int, *, confidence: float = 0.95) -> Estimate:
    """Student's interval of a published ``mean ± sd`` of n runs; of one run, or of a sd of 0, there is none.

    A sd of 0 over several runs was rounded or never measured: it is no proof that the mean is exact.

    Raises
    ------
    UserError
        A negative sd.

    Examples
    --------
    >>> print(published_mean(88.3, 0.1, 3))
    88.300 [88.052, 88.548] (n = 3)
    >>> published_mean(88.3, 0.0, 3).low
    nan
    """
    if sd < 0:
        raise UserError(f"Expected a standard deviation of 0 or more, but got {sd:g}. Check the order of mean and sd.")
    if n < 2 or sd == 0:
        return Estimate(mean, n=n)
    half = stats.t.ppf(0.5 + confidence / 2, n - 1) * sd / np.sqrt(n)
    return intervals.estimate(mean, (mean - half, mean + half), n, confidence=confidence)
