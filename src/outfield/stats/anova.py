"""Factorial analysis of variance in closed form, shares with intervals from resampled models, variance components.

A balanced (or proportional) design needs no design matrix: the sum of squares of a term is an
inclusion-exclusion of the mean squares of marginal means, and Type I, II and the sums of squares agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats._closed_form import Cells, Design, Term, left_out, outer, resamples, sums_of_squares, uniform
from outfield.stats.base import Level, Result
from outfield.stats.frames import as_frame, require
from outfield.types import Array

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

Response = Literal["raw", "logit", "probit", "arcsine", "empirical-logit"]
RESPONSES: tuple[Response, ...] = get_args(Response)
RESIDUAL = "residual"
SHARES = ("eta2", "partial_eta2", "omega2")
Interval = Literal["jackknife", "percentile", "basic", "bc", "none"]
INTERVALS: tuple[Interval, ...] = ("jackknife", "percentile", "basic", "bc", "none")
LARGEST_DENSE = 600
"""Columns of a design matrix that statsmodels is asked to build at most."""
FEWEST = 3
"""Units that a jackknife takes: without one of two, a factor of one level is left, which has no share."""


@dataclass(frozen=True, eq=False)
class Anova(Result):
    """Sums of squares, F tests and shares of variance of every term.

    ``table`` has a row per term (``residual`` and ``total`` last) with the columns term, ss, df, ms, f,
    p, eta2, partial_eta2, omega2 and, where models were resampled, ``_low`` and ``_high`` of the shares.
    ``n`` counts observations, ``balanced`` says whether the closed form was used.

    Examples
    --------
    >>> found = anova(np.random.default_rng(0).normal(size=(6, 4, 5)), ("model", "detector"))
    >>> found.row("detector:model")["df"], found.balanced
    (15, True)
    """

    table: pl.DataFrame
    n: int
    response: Response
    balanced: bool
    typ: int
    interval: str

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        """Shares of variance (eta2) with intervals, largest first."""
        from outfield.stats import _plots

        return _plots.shares(self.table)

    def row(self, term: str) -> dict[str, Any]:
        """One term's numbers; the order of its factors does not matter.

        Raises
        ------
        UserError
            There is no such term.

        Examples
        --------
        >>> found = anova(np.random.default_rng(0).normal(size=(6, 4, 5)), ("model", "detector"))
        >>> found.row("model")["df"], found.row("detector x model")["term"]
        (5, 'model x detector')
        """
        wanted = set(term.replace(" x ", ":").split(":"))
        for row in self.table.to_dicts():
            if set(row["term"].split(" x ")) == wanted:
                return row
        raise UserError(f"Expected a term of {', '.join(self.table['term'])}, but got {term!r}. Choose one of them.")


@dataclass(frozen=True, eq=False)
class _Case:
    """What every step of one analysis needs to know."""

    factors: tuple[str, ...]
    response: Response
    draws: int
    interval: Interval
    confidence: float
    seed: int
    level: Level = "model"
    notes: tuple[str, ...] = ()


def anova(
    data: Any,
    factors: Sequence[str],
    *,
    value: str = "value",
    unit: str | None = None,
    group: Any = None,
    response: Response = "raw",
    trials: Any = None,
    typ: int = 2,
    interval: Interval = "jackknife",
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Anova:
    """Factorial ANOVA with all interactions.

    Complete designs whose cell counts are proportional use the closed form
    ``SS_A = sum over B in A of (-1)^(|A| - |B|) N sum w_B mean_B^2``; others, when small, statsmodels
    with sum coding. With one value per cell the highest interaction is the residual.

    Parameters
    ----------
    data : array [*levels] or [*levels, replicates], or a long table (path or frame)
        For an array, ``factors`` names the axes.
    factors : names of the factors
    value : column of the response
    unit : column of the independent units, resampled for the intervals
        A factor (model) or a column whose units are nested in the first factor (models in categories: they
        are resampled within each). Default: the factor called strategy or model.
    group : vector, optional
        Only for arrays whose first axis is models: the strategy of each. Then the factor of the first axis
        is the strategy, its models are replicates, and strategies, then models, are resampled.
    response : ``raw``, ``logit``, ``probit``, ``arcsine`` or ``empirical-logit``
        On shares or percent: logit and probit clip at 1 / (2 trials), the arcsine is ``asin(sqrt(share))`` (equal
        variance for shares of equal trials), the empirical logit is ``log((k + 1/2) / (trials - k + 1/2))``,
        k = share x trials.
    trials : number or column behind each share; for an AUROC ``n_id * n_ood``. Default 1e4
    typ : 2 or 3
        Type III (statsmodels with sum coding, small designs alone; its intercept is left out of shares).
    interval : ``jackknife``, ``percentile``, ``basic``, ``bc`` or ``none``
        Of the shares, over units. The jackknife is the one that covers (see the docs for measured coverage). It takes
        three units, corrects the bias of a share, and reaches to the share where the correction moves it past (in
        designs of up to some ten units). The bootstrap kinds may leave a biased share out.
    draws, seed : resamples of the bootstrap kinds
    confidence : of the intervals

    Raises
    ------
    UserError
        A factor with one level, a constant response, missing columns; or a design that is neither
        proportional nor small: the message names the missing cells.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(6, 4, 5)) + np.arange(6)[:, None, None]
    >>> found = anova(y, ("model", "detector"))
    >>> found.frame().select("term", "df").rows()
    [('model', 5), ('detector', 3), ('model x detector', 15), ('residual', 96), ('total', 119)]
    """
    if interval not in INTERVALS:
        raise UserError(f"Expected an interval of {', '.join(INTERVALS)}, but got {interval!r}. Choose one of them.")
    case = _Case(tuple(factors), response, draws, interval, confidence, seed)
    if isinstance(data, np.ndarray):
        return _of_array(case, data, group, trials)
    frame = as_frame(data)
    columns = [*factors, value] + [c for c in (unit, trials) if isinstance(c, str) and c not in factors]
    require(frame, columns)
    frame = frame.drop_nulls(list(factors))
    _check_sizes({name: frame[name].n_unique() for name in factors})
    values, notes = _responses(frame[value].to_numpy().astype(float), response, _trials(frame, trials))
    return _of_frame(replace(case, notes=notes), frame.with_columns(__y=values), unit, typ)


def _of_array(case: _Case, data: Array, group: Any, trials: Any) -> Anova:
    y, notes = _responses(data, case.response, 1e4 if trials is None else trials)
    y = y if y.ndim == len(case.factors) + 1 else y[..., None]
    if y.ndim != len(case.factors) + 1:
        raise UserError(
            f"Expected axes {', '.join(case.factors)} [, replicates], but got shape {data.shape}. Name each axis."
        )
    if len(missing := np.argwhere(~np.isfinite(y))):
        raise UserError(
            f"Expected a value in every cell, but {len(missing)} are missing (first at {tuple(missing[0].tolist())}). "
            "Leave out the units that miss them, or pass a long table."
        )
    y = y - y.mean()
    ids = np.arange(len(y)) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    level: Level = "model" if len(set(ids.tolist())) == len(ids) else "strategy"
    inner = ((y - y.mean(-1, keepdims=True)) ** 2).sum(-1)
    cells = Cells(y.mean(-1), inner, uniform(y.shape[1:-1]), y.shape[-1])
    return _closed(replace(case, level=level, notes=notes), cells, ids, units_are_levels=True)


# --- the closed form ----------------------------------------------------------------------------


def _closed(case: _Case, cells: Cells, ids: Array, *, units_are_levels: bool) -> Anova:
    design = cells.design(ids)
    levels = [design.weights[0].shape[1], *map(len, design.weights[1:])]
    _check_sizes(dict(zip(case.factors, levels, strict=True)))
    ss = {term: float(value[0]) for term, value in sums_of_squares(design).items()}
    df = {term: prod(levels[axis] - 1 for axis in term) for term in ss}
    residual, df_residual = float(np.sum(design.within)), round(design.n) - prod(levels)
    if df_residual <= 0:
        top = tuple(range(len(case.factors)))
        residual, df_residual = ss.pop(top), df.pop(top)
    table = _table({_name(term, case.factors): (ss[term], df[term]) for term in ss}, residual, df_residual)
    units = levels[0] if case.level == "strategy" else len(cells.mean)
    if case.interval == "jackknife":
        without, strata = left_out(cells, ids, units_are_levels=units_are_levels)
        table, case = _jackknifed(case, table, _shares(without, *_without_one(df, df_residual, units, strata)), strata)
    elif case.interval != "none":
        designs = resamples(cells, ids, units_are_levels=units_are_levels, draws=case.draws, seed=case.seed)
        samples = np.concatenate([_shares(each, df, df_residual) for each in designs])
        table, case = _bootstrapped(case, table, samples)
    return Anova(
        table, round(design.n), case.response, True, 2, case.interval, level=case.level, n_units=units, notes=case.notes
    )


def _name(term: Term, factors: Sequence[str]) -> str:
    return " x ".join(factors[axis] for axis in term)


def _table(terms: dict[str, tuple[float, int]], residual: float, df_residual: int) -> pl.DataFrame:
    import polars as pl

    total = sum(ss for ss, _ in terms.values()) + residual
    if total <= 0:
        raise UserError("Expected a response that varies, but got the same value in every row. Choose another column.")
    rows: list[dict[str, Any]] = [
        _row(name, *numbers, (residual, df_residual), total) for name, numbers in terms.items()
    ]
    rows.append(
        {"term": RESIDUAL, "ss": residual, "df": df_residual, "ms": residual / df_residual, "eta2": residual / total}
    )
    rows.append({"term": "total", "ss": total, "df": sum(df for _, df in terms.values()) + df_residual})
    columns = ("ss", "ms", "f", "p", "eta2", "partial_eta2", "omega2")
    schema = {"term": pl.String, "df": pl.Int64, **dict.fromkeys(columns, pl.Float64)}
    return pl.DataFrame(rows, schema=schema).select("term", "ss", "df", *columns[1:])


def _row(name: str, ss: float, df: int, residual: tuple[float, int], total: float) -> dict[str, Any]:
    error = residual[0] / residual[1]
    f = ss / df / error if error > 0 else float("inf")
    return {
        "term": name, "ss": ss, "df": df, "ms": ss / df, "f": f, "p": float(stats.f.sf(f, df, residual[1])),
        "eta2": ss / total, "partial_eta2": ss / (ss + residual[0]) if ss else 0.0,
        "omega2": (ss - df * error) / (total + error),
    }  # fmt: skip


# --- intervals from resampled units ---------------------------------------------------------------


def _shares(design: Design, df: Mapping[Term, float], df_residual: float) -> Array:
    """eta2, partial eta2 and omega2 of every term: [b, terms, 3]; the residual's eta2 comes last."""
    ss = sums_of_squares(design)
    residual = np.asarray(design.within, float)
    if (top := tuple(range(design.order))) not in df:
        residual = residual + ss[top]
    terms = np.stack([ss[term] for term in df], axis=1)
    total = terms.sum(1) + residual
    error = residual / df_residual
    with np.errstate(invalid="ignore", divide="ignore"):
        eta, partial = terms / total[:, None], terms / (terms + residual[:, None])
        omega = (terms - np.array(list(df.values())) * error[:, None]) / (total + error)[:, None]
        rest = (residual / total)[:, None, None] * np.array([1.0, 0.0, 0.0])
    return np.concatenate([np.stack([eta, partial, omega], axis=2), rest], axis=1)


def _without_one(
    df: dict[Term, int], df_residual: int, units: int, strata: Array | None
) -> tuple[dict[Term, float], float]:
    """Degrees of freedom of a design with one unit fewer."""
    scale = (units - 2) / (units - 1) if strata is None else 1.0
    return {term: value * (scale if 0 in term else 1) for term, value in df.items()}, df_residual * (units - 1) / units


def _jackknifed(case: _Case, table: pl.DataFrame, shares: Array, strata: Array | None) -> tuple[pl.DataFrame, _Case]:
    good = np.isfinite(shares).all(axis=(1, 2))
    kept = None if strata is None else strata[good]
    spare = good.sum() - (1 if kept is None else len(set(kept.tolist())))
    if good.sum() < FEWEST or spare < 1:
        said = "No intervals: too few units to leave one out."
        return table, replace(case, interval="none", notes=(*case.notes, said))
    values = _values(table, shares)
    ends = intervals.share_jackknife(values, shares[good], strata=kept, confidence=case.confidence)
    return _with_ends(table, _with_estimates(ends, values)), case


def _with_estimates(ends: Array, values: Array) -> Array:
    """The intervals, each reaching to its estimate where the correction of bias has moved it past."""
    return np.stack([np.minimum(ends[..., 0], values), np.maximum(ends[..., 1], values)], axis=-1)


def _bootstrapped(case: _Case, table: pl.DataFrame, samples: Array) -> tuple[pl.DataFrame, _Case]:
    good = np.isfinite(samples).all(axis=(1, 2))
    kind = cast("intervals.Kind", case.interval)
    ends = intervals.resampled(_values(table, samples), samples[good], kind=kind, confidence=case.confidence)
    lost = int((~good).sum())
    said = (f"{lost} of {case.draws} resamples had no spread and were left out.",) if lost else ()
    return _with_ends(table, ends), replace(case, notes=(*case.notes, *said))


def _values(table: pl.DataFrame, samples: Array) -> Array:
    return np.asarray(np.nan_to_num(table.head(samples.shape[1]).select(SHARES).to_numpy().astype(float)))


def _with_ends(table: pl.DataFrame, ends: Array) -> pl.DataFrame:
    """The table with the columns ``_low`` and ``_high`` of every share; the residual has eta2 alone."""
    import polars as pl

    ends[:, :2] = np.clip(ends[:, :2], 0, 1)
    ends[-1, 1:] = np.nan
    full = np.concatenate([ends, np.full((table.height - len(ends), *ends.shape[1:]), np.nan)])
    return table.with_columns(
        pl.Series(f"{name}_{side}", full[:, i, j]).fill_nan(None)
        for i, name in enumerate(SHARES)
        for j, side in enumerate(("low", "high"))
    )


# --- frames -------------------------------------------------------------------------------------


def _of_frame(case: _Case, frame: pl.DataFrame, unit: str | None, typ: int) -> Anova:
    import polars as pl

    known = frame.filter(pl.col("__y").is_finite())
    lost = frame.height - known.height
    first = unit or next((name for name in ("strategy", "model") if name in case.factors), case.factors[0])
    notes = (*case.notes, f"Dropped {lost} rows without a value.") if lost else case.notes
    case = replace(case, level=_level(first), notes=notes)
    nested = first not in case.factors
    home = case.factors[0] if nested else first
    ordered = replace(case, factors=(home, *(name for name in case.factors if name != home)))
    keys = [first, *ordered.factors] if nested else list(ordered.factors)
    if typ == 2 and (dense := _dense(known, keys, ordered.factors)) is not None:
        cells, ids = dense
        return _closed(ordered, cells, ids, units_are_levels=not nested)
    if case.interval != "none":
        case = replace(
            case, notes=(*notes, "No intervals: the design is not proportional, so units cannot be resampled.")
        )
    return _by_statsmodels(case, known, typ, known[first].n_unique())


def _level(unit: str) -> Level:
    return "strategy" if unit == "strategy" else "run" if unit == "run" else "model"


def _dense(frame: pl.DataFrame, keys: list[str], order: tuple[str, ...]) -> tuple[Cells, Array] | None:
    """Cells of a complete, proportional design, or None; ``keys`` begin with the unit."""
    import polars as pl

    y = pl.col("__y") - frame["__y"].mean()
    table = frame.group_by(keys, maintain_order=True).agg(
        mean=y.mean(), inner=((y - y.mean()) ** 2).sum(), count=pl.len()
    )
    axes = [keys[0], *order[1:]]
    names = [table[key].unique(maintain_order=True).to_list() for key in axes]
    shape = tuple(map(len, names))
    if table.height != prod(shape):
        return None
    at = tuple(
        table[key].replace_strict(each, range(len(each)), return_dtype=pl.Int64).to_numpy()
        for key, each in zip(axes, names, strict=True)
    )
    arrays = {column: np.zeros(shape) for column in ("mean", "inner", "count")}
    for column, array in arrays.items():
        array[at] = table[column].to_numpy()
    if (weights := _proportions(arrays["count"])) is None:
        return None
    ids = np.arange(shape[0]) if keys == axes else _homes(table, keys, names[0])
    return Cells(arrays["mean"], arrays["inner"], weights, float(arrays["count"].mean())), ids


def _homes(table: pl.DataFrame, keys: list[str], units: list[Any]) -> Array:
    home = dict(table.select(keys[0], keys[1]).unique(maintain_order=True).iter_rows())
    levels = list(dict.fromkeys(home[unit] for unit in units))
    return np.array([levels.index(home[unit]) for unit in units])


def _proportions(count: Array) -> tuple[Array, ...] | None:
    """Weights of every axis but the first, when units have equal counts that are proportional to them."""
    total = count.sum()
    weights = tuple(count.sum(axis=tuple(set(range(count.ndim)) - {axis})) / total for axis in range(count.ndim))
    even = np.allclose(weights[0], 1 / len(weights[0]))
    return weights[1:] if even and np.allclose(count, total * outer(weights)) else None


def _by_statsmodels(case: _Case, frame: pl.DataFrame, typ: int, units: int) -> Anova:
    import pandas
    import statsmodels.api as sm
    from statsmodels.formula.api import ols

    columns = prod(frame[name].n_unique() for name in case.factors)
    gaps = _gaps(frame, case.factors)
    if columns > LARGEST_DENSE or gaps:
        raise UserError(
            f"Expected a complete table (every {' x '.join(case.factors)} cell, in equal numbers), but got "
            f"{frame.height} rows for {columns} cells. {gaps or 'No cell is empty, but their numbers of rows differ. '}"
            "Fill the gaps, or leave out what misses cells."
        )
    coded = {f"f{i}": list(map(str, frame[name].to_list())) for i, name in enumerate(case.factors)}
    formula = "y ~ " + " * ".join(f"C({name}, Sum)" for name in coded)
    fit = ols(formula, pandas.DataFrame({"y": frame["__y"].to_numpy(), **coded})).fit()
    found = sm.stats.anova_lm(fit, typ=typ)
    rest = found.loc["Residual"]
    terms = {
        _name(_axes(str(label)), case.factors): (float(row["sum_sq"]), round(row["df"]))
        for label, row in found.drop(index=["Intercept", "Residual"], errors="ignore").iterrows()
    }
    table = _table(terms, float(rest["sum_sq"]), round(rest["df"]))
    said = (f"Type {typ} sums of squares by statsmodels with sum coding: they need not add up to the response's.",)
    notes = (*case.notes, *said)
    return Anova(table, frame.height, case.response, False, typ, "none", level=case.level, n_units=units, notes=notes)


def _axes(label: str) -> Term:
    return tuple(int(part.removeprefix("C(f").split(",")[0]) for part in label.split(":"))


def _gaps(frame: pl.DataFrame, factors: tuple[str, ...]) -> str:
    import polars as pl

    names = [frame.select(pl.col(name).unique(maintain_order=True)) for name in factors]
    every = names[0]
    for each in names[1:]:
        every = every.join(each, how="cross")
    missing = every.join(frame.select(factors).unique(), on=list(factors), how="anti")
    if missing.is_empty():
        return ""
    shown = "; ".join(", ".join(map(str, row)) for row in missing.head(5).iter_rows())
    return f"{missing.height} cells are empty, such as {shown}. "


# --- responses ------------------------------------------------------------------------------------


def _trials(frame: pl.DataFrame, trials: Any) -> Any:
    if isinstance(trials, str):
        return frame[trials].to_numpy().astype(float)
    return 1e4 if trials is None else trials


def _responses(values: Array, response: Response, trials: Any) -> tuple[Array, tuple[str, ...]]:
    from outfield.stats.relate import as_share

    if response == "raw":
        return values.astype(float), ()
    if response not in RESPONSES:
        raise UserError(f"Expected a response of {', '.join(RESPONSES)}, but got {response!r}. Choose one of them.")
    known = np.isfinite(values)
    _, notes = as_share(values[known], "the response")
    shares = values / (100 if notes else 1)
    if response == "arcsine":
        return np.arcsin(np.sqrt(shares)), notes
    if response == "empirical-logit":
        return np.log((shares * trials + 0.5) / ((1 - shares) * trials + 0.5)), notes
    margin = np.broadcast_to(1 / (2 * np.asarray(trials, float)), shares.shape)
    inside = np.clip(shares, margin, 1 - margin)
    clipped = int((inside != shares)[known].sum())
    said = (f"Clipped {clipped} values at 1 / (2 trials) for the {response}.",) if clipped else ()
    moved = np.log(inside / (1 - inside)) if response == "logit" else stats.norm.ppf(inside)
    return moved, (*notes, *said)


def _check_sizes(levels: dict[str, int]) -> None:
    if single := [name for name, count in levels.items() if count < 2]:
        raise UserError(f"Expected at least two levels of each factor, but {', '.join(single)} has one. Leave it out.")
