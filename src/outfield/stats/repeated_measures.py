"""Units in groups under the same conditions: each term of the analysis of variance against its own error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Result
from outfield.stats.frames import as_frame, require
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

TESTED, ERROR = [0, 2, 3], [1, 4, 4]
"""Of the sums of squares, those that are tested, and what each is tested against."""


@dataclass(frozen=True, eq=False)
class RepeatedMeasures(Result):
    """The table of a design whose units each have all conditions; ``epsilon`` is Greenhouse and Geisser's.

    ``table`` has the columns term, ss, df, ms, f, p, p_gg (degrees of freedom times epsilon), and partial_eta2 with its
    ends ``_low`` and ``_high``.
    """

    table: pl.DataFrame
    epsilon: float

    def frame(self) -> pl.DataFrame:
        return self.table

    def row(self, term: str) -> dict[str, Any]:
        """One term's numbers.

        Raises
        ------
        UserError
            There is no such term.
        """
        for row in self.table.to_dicts():
            if row["term"] == term:
                return row
        raise UserError(f"Expected a term of {', '.join(self.table['term'])}, but got {term!r}. Choose one of them.")

    def plot(self) -> alt.TopLevelMixin:
        """Partial eta2 of every term."""
        from outfield.stats import _plots

        rows = self.table.drop_nulls("partial_eta2").to_dicts()
        ends = ("partial_eta2", "partial_eta2_low", "partial_eta2_high")
        return _plots.estimates({row["term"]: Estimate(*(row[end] for end in ends)) for row in rows})


def repeated_measures(data: Any, between: str, within: str, unit: str, *, value: str = "value") -> RepeatedMeasures:
    """Analysis of variance of units in groups under the same conditions, each term against its own error.

    ``between`` (category) is tested against units within it; ``within`` (benchmark) and their interaction against
    condition x unit within group, which is what the same units leave over. Tests against one residual mix the two
    errors: the interaction then hides behind the spread of units. Groups may differ in size (Type II). Where
    conditions differ in spread or correlation use ``p_gg``. Intervals of partial eta2 are jackknifed over units.

    Raises
    ------
    UserError
        Missing columns, a unit in several groups, fewer than two groups, conditions, or units in a group; two rows for
        one unit and condition.

    Examples
    --------
    >>> import polars as pl
    >>> rng = np.random.default_rng(0)
    >>> rows = pl.DataFrame({"model": np.repeat(range(12), 3), "kind": np.repeat(["a", "b"], 18),
    ...                      "set": ["r", "s", "t"] * 12, "value": rng.normal(size=36)})
    >>> repeated_measures(rows, "kind", "set", "model").frame().select("term", "df").rows()[-2:]
    [('kind x set', 2), ('set x model within kind', 20)]

    References
    ----------
    Greenhouse and Geisser (1959), On methods in the analysis of profile data, Psychometrika.
    """
    frame = as_frame(data)
    require(frame, [between, within, unit, value])
    values, groups, notes = _profiles(frame, between, within, unit, value)
    nested = f"{unit} within {between}"
    names = (between, nested, within, f"{between} x {within}", f"{within} x {nested}")
    ss, epsilon = _split(values, groups), _sphericity(values, groups)
    left = np.array([_split(np.delete(values, i, 0), np.delete(groups, i)) for i in range(len(values))])
    ends = intervals.share_jackknife(_partial(ss), _partial(left), strata=groups)
    return RepeatedMeasures(
        _split_table(names, ss, _split_df(values, groups), (epsilon, ends)), epsilon, level="model",
        n_units=len(values), notes=notes,
    )  # fmt: skip


def _profiles(
    frame: pl.DataFrame, between: str, within: str, unit: str, value: str
) -> tuple[Array, Array, tuple[str, ...]]:
    """Values [units, conditions] of the units that have all, and the group of each."""
    import polars as pl

    rows = frame.with_columns(pl.col(value).cast(pl.Float64)).filter(pl.col(value).is_finite())
    rows = rows.drop_nulls([between, within, unit])
    homes = rows.group_by(unit).agg(pl.col(between).n_unique().alias("homes"))
    if (several := homes.filter(pl.col("homes") > 1)).height:
        raise UserError(f"Expected each {unit} in one {between}, but {several[unit][0]!r} is in several. Use anova.")
    if rows.select(unit, within).is_duplicated().any():
        raise UserError(f"Expected one row for each {unit} and {within}, but some have several. Average them first.")
    wide = rows.pivot(within, index=[unit, between], values=value)
    whole = wide.drop_nulls()
    groups = np.unique(whole[between].cast(pl.String).to_numpy(), return_inverse=True)[1]
    many = len(set(groups.tolist()))
    if many < 2 or wide.width < 4 or whole.height <= many:
        raise UserError(
            f"Expected two or more of {between}, one with two {unit}s, and two of {within}, but got {many} with "
            f"{whole.height} {unit}s that have all {wide.width - 2} of {within}. Add units."
        )
    lost = wide.height - whole.height
    notes = (f"Left out {lost} of {wide.height} {unit}s without all values of {within}.",) if lost else ()
    return whole.drop(unit, between).to_numpy(), groups, notes


def _split(values: Array, groups: Array) -> Array:
    """Sums of squares: groups, units, conditions, groups x conditions, conditions x units."""
    sums, counts = np.zeros((int(groups.max()) + 1, values.shape[1])), np.bincount(groups)
    np.add.at(sums, groups, values)
    profile = (sums / np.maximum(counts, 1)[:, None])[groups]
    mean, unit, group = values.mean(), values.mean(1, keepdims=True), profile.mean(1, keepdims=True)
    both, condition = profile - group, values.mean(0) - mean
    parts = (group - mean, unit - group, condition, both - condition, values - unit - both)
    return np.array([(np.broadcast_to(part, values.shape) ** 2).sum() for part in parts])


def _split_df(values: Array, groups: Array) -> Array:
    (n, k), g = values.shape, int(groups.max()) + 1
    return np.array([g - 1, n - g, k - 1, (g - 1) * (k - 1), (n - g) * (k - 1)])


def _sphericity(values: Array, groups: Array) -> float:
    """Greenhouse and Geisser's epsilon of the covariance within groups."""
    left = values - np.stack([values[groups == group].mean(0) for group in range(int(groups.max()) + 1)])[groups]
    left = left - left.mean(1, keepdims=True)
    covariance = left.T @ left
    return float(np.trace(covariance) ** 2 / ((values.shape[1] - 1) * (covariance**2).sum()))


def _partial(ss: Array) -> Array:
    return np.asarray(ss[..., TESTED] / (ss[..., TESTED] + ss[..., ERROR]))


def _split_table(names: tuple[str, ...], ss: Array, df: Array, more: tuple[float, Array]) -> pl.DataFrame:
    import polars as pl

    (epsilon, ends), ms, partial = more, ss / df, _partial(ss)
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {"term": name, "ss": ss[i], "df": int(df[i]), "ms": ms[i]}
        if i in TESTED:
            at = TESTED.index(i)
            f, error, shrink = ms[i] / ms[ERROR[at]], df[ERROR[at]], 1.0 if i == 0 else epsilon
            row |= {"f": f, "p": stats.f.sf(f, df[i], error), "p_gg": stats.f.sf(f, shrink * df[i], shrink * error)}
            row |= {"partial_eta2": partial[at], "partial_eta2_low": ends[at, 0], "partial_eta2_high": ends[at, 1]}
        rows.append(row)
    columns = ("f", "p", "p_gg", "partial_eta2", "partial_eta2_low", "partial_eta2_high")
    numbers = dict.fromkeys(("ss", "df", "ms", *columns), pl.Float64)
    schema = {"term": pl.String, **numbers, "df": pl.Int64}
    return pl.DataFrame(rows, schema=schema)
