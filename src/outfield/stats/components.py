"""Variance components and tests against the right error stratum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.anova import RESIDUAL, Anova, anova
from outfield.stats.base import Result
from outfield.stats.frames import as_frame, require
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


@dataclass(frozen=True, eq=False)
class Components(Result):
    """Variance of every random effect, and its share; ``method`` is closed form or MixedLM.

    Examples
    --------
    >>> y = np.repeat(np.arange(4.0), 3).reshape(4, 3) + np.array([0.1, -0.1, 0.0])
    >>> variance_components(y, ("model",)).frame()["share"].round(2).to_list()
    [0.99, 0.01]
    """

    table: pl.DataFrame
    method: str

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        rows = self.table.to_dicts()
        return _plots.estimates({row["component"]: Estimate(row["share"]) for row in rows}, title="share of variance")


def variance_components(data: Any, factors: Sequence[str], *, value: str = "value") -> Components:
    """Variance components of a design whose factors are all random.

    Balanced: expected mean squares, ``E MS_T = sum over U containing T of N / levels(U) var_U``, solved from the
    top. Negative solutions are set to 0, and noted. Not balanced: statsmodels' MixedLM with a random intercept for the
    first factor and variance components for the others.

    Parameters
    ----------
    data : array [*levels, replicates] or a long table
    factors : names; the first is the independent unit (model)

    Raises
    ------
    UserError
        As :func:`outfield.stats.anova.anova`; MixedLM does not converge.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(40, 1, 1)) * 2 + rng.normal(size=(40, 6, 5))
    >>> found = variance_components(y, ("model", "detector"))
    >>> found.frame()["variance"].round(1).to_list()
    [2.5, 0.0, 0.0, 1.0]
    """
    if not isinstance(data, np.ndarray):
        frame = as_frame(data)
        require(frame, [*factors, value])
        frame = frame.drop_nulls([*factors, value])
        if not _balanced(frame, factors):
            return _mixed(frame, tuple(factors), value)
        return _closed(anova(frame, factors, value=value, unit=factors[0]), {f: frame[f].n_unique() for f in factors})
    return _closed(anova(data, factors), dict(zip(factors, data.shape, strict=False)))


def _balanced(frame: pl.DataFrame, factors: Sequence[str]) -> bool:
    counts = frame.group_by(factors).len()["len"]
    return counts.len() == prod(frame[name].n_unique() for name in factors) and counts.n_unique() == 1


def _closed(found: Anova, levels: dict[str, int]) -> Components:
    rows = {frozenset(row["term"].split(" x ")): row for row in found.table.to_dicts() if row["term"] != "total"}
    error = rows.pop(frozenset({RESIDUAL}))["ms"]
    variance: dict[frozenset[str], float] = {}
    for term in sorted(rows, key=len, reverse=True):
        above = sum(_coefficient(found.n, levels, u) * v for u, v in variance.items() if term < u)
        variance[term] = (rows[term]["ms"] - error - above) / _coefficient(found.n, levels, term)
    named = {rows[term]["term"]: variance[term] for term in rows}
    return _components({**named, RESIDUAL: error}, "expected mean squares", found.n_units, found.notes)


def _coefficient(n: int, levels: dict[str, int], term: frozenset[str]) -> float:
    return n / prod(levels[name] for name in term)


def _components(named: dict[str, float], method: str, units: int, notes: tuple[str, ...]) -> Components:
    import polars as pl

    below = [name for name, variance in named.items() if variance < 0]
    said = (f"Negative variance set to 0: {', '.join(below)}.",) if below else ()
    kept = {name: max(variance, 0.0) for name, variance in named.items()}
    total = sum(kept.values())
    table = pl.DataFrame({
        "component": list(kept), "variance": list(kept.values()), "share": [v / total for v in kept.values()],
    })  # fmt: skip
    return Components(table, method, level="model", n_units=units, notes=(*notes, *said))


def _mixed(frame: pl.DataFrame, factors: tuple[str, ...], value: str) -> Components:
    import warnings

    import pandas
    from statsmodels.regression.mixed_linear_model import MixedLM

    columns = {"y": frame[value].to_numpy(), **{f"f{i}": frame[f].cast(str).to_list() for i, f in enumerate(factors)}}
    parts = {name: f"0 + C(f{i})" for i, name in enumerate(factors) if i}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula(
            "y ~ 1", pandas.DataFrame(columns), groups=columns["f0"], re_formula="1", vc_formula=parts or None
        )
        fit = model.fit(reml=True)
    if not fit.converged:
        raise UserError(
            "Expected the mixed model to converge, but it did not. Complete the table: every cell, equally often."
        )
    within = {
        f"{factors[0]} x {name}": float(v) for name, v in zip(sorted(parts), np.atleast_1d(fit.vcomp), strict=True)
    }
    named = {factors[0]: float(np.asarray(fit.cov_re)[0, 0]), **(within if parts else {}), RESIDUAL: float(fit.scale)}
    note = "Not balanced: components of further factors are those within units (MixedLM)."
    return _components(named, "MixedLM (REML)", frame[factors[0]].n_unique(), (note,))


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
