"""Variance components and tests against the right error stratum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.anova import RESIDUAL, Anova, anova
from outfield.stats.base import Result
from outfield.stats.frames import as_frame, require
from outfield.stats.reml import Reml
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


MOST_LEVELS = 1000
DRAWS = 20_000
"""Draws of chi squared variables that a generalised interval takes its quantiles from."""


@dataclass(frozen=True, eq=False)
class Components(Result):
    """Variance of every random effect with its interval, and its share; ``log_likelihood`` is REML's.

    Examples
    --------
    >>> y = np.repeat(np.arange(4.0), 3).reshape(4, 3) + np.array([0.1, -0.1, 0.0])
    >>> variance_components(y, ("model",)).frame()["share"].round(2).to_list()
    [0.99, 0.01]
    """

    table: pl.DataFrame
    method: str
    log_likelihood: float = float("nan")

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        rows = self.table.to_dicts()
        return _plots.estimates({row["component"]: Estimate(row["share"]) for row in rows}, title="share of variance")


def variance_components(
    data: Any, factors: Sequence[str], *, fixed: Sequence[str] = (), value: str = "value", confidence: float = 0.95
) -> Components:
    """Variance components of random factors, crossed or nested, beside fixed ones.

    Every factor and every interaction of factors has a component. A factor whose levels each lie in one level of
    another (models in categories) is nested, and stands for its interaction with it. What has a level for every row is
    the residual.

    Balanced, crossed and without fixed factors: expected mean squares, ``E MS_T = sum over U containing T of
    N / levels(U) var_U``. Negative solutions are set to 0, and noted; intervals are generalised ones [1]. Else
    restricted maximum likelihood with profile-likelihood intervals.

    Parameters
    ----------
    data : array [*levels, replicates] or a long table
    factors : names of the random factors; the first is the independent unit (model)
    fixed : names of the fixed factors: all their interactions are taken out

    Raises
    ------
    UserError
        As :func:`outfield.stats.anova.anova`; a random factor that the fixed ones hold already; more than 1,000 levels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(40, 1, 1)) * 2 + rng.normal(size=(40, 6, 5))
    >>> found = variance_components(y, ("model", "detector"))
    >>> found.frame()["variance"].round(1).to_list()
    [2.5, 0.0, 0.0, 1.0]

    References
    ----------
    [1] Weerahandi (1993), Generalized confidence intervals, JASA.
    """
    import polars as pl

    if isinstance(data, np.ndarray):
        return _closed(anova(data, factors, interval="none"), dict(zip(factors, data.shape, strict=False)), confidence)
    frame = as_frame(data)
    require(frame, [*factors, *fixed, value])
    frame = frame.drop_nulls([*factors, *fixed]).filter(pl.col(value).cast(pl.Float64).is_finite())
    if fixed or not _balanced(frame, factors):
        return _restricted(frame, tuple(factors), tuple(fixed), value, confidence)
    found = anova(frame, factors, value=value, unit=factors[0], interval="none")
    return _closed(found, {name: frame[name].n_unique() for name in factors}, confidence)


def _balanced(frame: pl.DataFrame, factors: Sequence[str]) -> bool:
    counts = frame.group_by(factors).len()["len"]
    return counts.len() == prod(frame[name].n_unique() for name in factors) and counts.n_unique() == 1


def _closed(found: Anova, levels: dict[str, int], confidence: float) -> Components:
    rows = [row for row in found.table.to_dicts() if row["term"] != "total"]
    expected = _expected_mean_squares(rows, found.n, levels)
    ms, df = (np.array([row[column] for row in rows], float) for column in ("ms", "df"))
    draws = ms * df / np.random.default_rng(0).chisquare(df, size=(DRAWS, len(df)))
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    ends = np.quantile(np.linalg.solve(expected, draws.T), tails, axis=1).T
    named = dict(zip((row["term"] for row in rows), np.linalg.solve(expected, ms), strict=True))
    return _components(named, ends, "expected mean squares", units=found.n_units, notes=found.notes)


def _expected_mean_squares(rows: list[dict[str, Any]], n: int, levels: dict[str, int]) -> Array:
    """What a unit of each variance adds to each mean square; the residual, last, adds 1 to all."""
    terms = [frozenset(row["term"].split(" x ")) for row in rows[:-1]]
    each = [n / prod(levels[name] for name in term) for term in terms]
    matrix = np.array(
        [[many if term <= other else 0.0 for other, many in zip(terms, each, strict=True)] for term in terms]
    )
    whole = np.ones((len(rows), len(rows)))
    whole[:-1, :-1], whole[-1, :-1] = matrix.reshape(len(terms), len(terms)), 0.0
    return whole


def _components(
    named: dict[str, float], ends: Array, method: str, *, units: int, notes: tuple[str, ...] = (),
    log_likelihood: float = float("nan"),
) -> Components:  # fmt: skip
    import polars as pl

    below = [name for name, variance in named.items() if variance < 0]
    said = (f"Negative variance set to 0: {', '.join(below)}.",) if below else ()
    kept = np.maximum(list(named.values()), 0.0)
    table = pl.DataFrame({
        "component": list(named), "variance": kept, "low": np.maximum(ends[:, 0], 0.0),
        "high": np.maximum(ends[:, 1], kept), "share": kept / kept.sum(),
    })  # fmt: skip
    return Components(table, method, log_likelihood, level="model", n_units=units, notes=(*notes, *said))


# --- nested, crossed or unbalanced: restricted maximum likelihood -----------------------------------


def _restricted(
    frame: pl.DataFrame, factors: tuple[str, ...], fixed: tuple[str, ...], value: str, confidence: float
) -> Components:
    cells = _cells(frame, fixed)
    terms = _random_terms(frame, factors)
    if held := [name for name, level in terms.items() if _refines(cells, level)]:
        raise UserError(
            f"Expected random factors that vary within {' x '.join(fixed)}, but {held[0]} does not. "
            "Name it in one of the two alone."
        )
    if (many := sum(int(level.max()) + 1 for level in terms.values())) > MOST_LEVELS:
        raise UserError(
            f"Expected at most {MOST_LEVELS:,} levels of random effects in a design that is not balanced, but got "
            f"{many:,}. Leave out factors, or complete the table for the closed form."
        )
    model = Reml(frame[value].cast(float).to_numpy(), cells, tuple(terms.values()))
    variances = model.fit()
    ends = np.array([model.interval(i, confidence=confidence) for i in range(len(variances))])
    named = dict(zip([*terms, RESIDUAL], map(float, variances), strict=True))
    units = frame[factors[0]].n_unique()
    return _components(named, ends, "REML", units=units, log_likelihood=model.log_likelihood)


def _cells(frame: pl.DataFrame, names: Sequence[str]) -> Array:
    """The combination of levels that each row has, as 0, 1, ...; of no names, 0."""
    import polars as pl

    if not names:
        return np.zeros(frame.height, dtype=int)
    return frame.select(pl.struct(names).rank("dense")).to_series().to_numpy().astype(int) - 1


def _random_terms(frame: pl.DataFrame, factors: Sequence[str]) -> dict[str, Array]:
    """Every combination of factors that cuts the rows in another way, the coarsest name of each, and its levels."""
    found: dict[str, Array] = {}
    for size in range(1, len(factors) + 1):
        for names in combinations(factors, size):
            level = _cells(frame, names)
            repeats = 1 < level.max() + 1 < frame.height
            if repeats and not any(_refines(level, other) and _refines(other, level) for other in found.values()):
                found[" x ".join(names)] = level
    if not found:
        raise UserError(
            f"Expected several levels of {', '.join(factors)} with several rows each, but got one row a level, or one "
            "level. Add replicates, or leave the factor out."
        )
    return found


def _refines(finer: Array, coarser: Array) -> bool:
    """Whether each level of ``finer`` lies in one level of ``coarser``."""
    pairs = finer * (int(coarser.max()) + 1) + coarser
    return len(np.unique(pairs)) == len(np.unique(finer))


@dataclass(frozen=True, eq=False)
class Stratum(Result):
    """F of a factor against the units nested in it, eta2 with an F-based interval, omega2."""

    factor: str
    within: str
    f: float
    df: int
    df_error: int
    p: float
    eta2: Estimate
    omega2: float
    pooled_f: float


def stratum(data: Any, factor: str, within: str, *, value: str = "value") -> Stratum:
    """A between-unit factor against its own error: category against model within category, say, or OOD category
    against data set within it.

    Rows of one unit are averaged first: F = MS(factor) / MS(unit within factor), on as many degrees of freedom as
    there are units. ``pooled_f`` is the usual F against all rows, for comparison. The interval of eta2 inverts the
    noncentral F.

    Raises
    ------
    UserError
        Missing columns, one level, no level with two units, or a unit in several levels.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"category": ["a"] * 6 + ["b"] * 6, "model": [f"m{i // 2}" for i in range(12)],
    ...                      "value": [1.0, 1.1, 2, 2.1, 1.5, 1.4, 3, 3.1, 4, 4.1, 2, 2.2]})
    >>> found = stratum(rows, "category", "model")
    >>> found.df_error, round(found.f, 2), round(found.pooled_f, 2)
    (4, 5.99, 14.83)
    """
    import polars as pl

    frame = as_frame(data)
    require(frame, [factor, within, value])
    frame = frame.drop_nulls([factor, within, value]).with_columns(pl.col(value).cast(pl.Float64))
    units = frame.group_by(within, factor, maintain_order=True).agg(pl.col(value).mean())
    if units[within].is_duplicated().any():
        twice = units.filter(pl.col(within).is_duplicated())[within][0]
        raise UserError(f"Expected each {within} in one {factor}, but {twice!r} is in several. Use anova instead.")
    groups = _groups(units, factor, value)
    k, n = len(groups), units.height
    if k < 2 or n <= k:
        raise UserError(f"Expected two or more of {factor}, one with two of {within}, but got {k} with {n}. Add units.")
    f, p = map(float, stats.f_oneway(*groups))
    return Stratum(
        factor, within, f, k - 1, n - k, p, _f_interval(f, k - 1, n - k), (f - 1) * (k - 1) / ((f - 1) * (k - 1) + n),
        float(stats.f_oneway(*_groups(frame, factor, value)).statistic), level="model", n_units=n,
    )  # fmt: skip


def _groups(frame: pl.DataFrame, factor: str, value: str) -> list[Array]:
    return [part[value].to_numpy() for part in frame.partition_by(factor, maintain_order=True)]


def _f_interval(f: float, df: int, df_error: int) -> Estimate:
    value = f * df / (f * df + df_error)
    n = df + df_error + 1
    low, high = (nc / (nc + n) for nc in intervals.noncentral_f(f, df, df_error))
    return Estimate(value, low, high, n=n)
