"""Independent units: which rows belong to which model and strategy, and how both are resampled.

The highest replicated unit is the unit. Where seeds repeat a strategy, strategies are resampled, then
seeds within each; else models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError
from outfield.stats.base import Level
from outfield.stats.frames import require, select_rows
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

MOST_FILLED = 0.2
"""A level that misses more than this share of its cells is left out; fewer gaps are filled."""
UNRELATED = 0.03
"""Below this p gaps are said to go with the values."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A complete array of values, one row per model, and the strategy that each model belongs to.

    Parameters
    ----------
    values : array, shape [models, *axes]
    models : names of the models
    units : names of the independent units (strategies where seeds repeat them, else the models)
    group : array of int, shape [models]
        Index into ``units``.
    axes : column name to the names along that axis
    families : family of each unit
    level : ``strategy`` or ``model``
    notes : what was dropped, filled or averaged on the way
    biased : why the filled cells cannot be trusted: gaps go with the values; else empty

    Examples
    --------
    >>> found = Panel(np.array([[0.7], [0.9], [0.6]]), ("a0", "a1", "b0"), ("a", "b"), np.array([0, 0, 1]), "strategy")
    >>> found.n_units, found.means.round(2).tolist()
    (2, [[0.8], [0.6]])
    """

    values: Array
    models: tuple[str, ...]
    units: tuple[str, ...]
    group: Array
    level: Level
    axes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    families: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    biased: str = ""

    @property
    def sound(self) -> Panel:
        """The panel itself, for inference over units.

        Raises
        ------
        UserError
            Cells are missing where values are low, or high: whatever is computed without them is off.
        """
        if self.biased:
            raise UserError(
                f"Expected cells that are missing at random, but {self.biased}. Run the missing cells, or leave out "
                "the rows and columns that miss them."
            )
        return self

    @property
    def n_units(self) -> int:
        return len(self.units)

    @property
    def means(self) -> Array:
        """Mean over seeds: shape [units, *axes]."""
        return unit_means(self.values, self.group)

    def resample(self, draws: int, seed: int = 0) -> Iterator[Array]:
        """Unit means [b, units, *axes] of resampled units, then seeds; in batches of bounded memory.

        Examples
        --------
        >>> values, group = np.array([[1.0], [1.0], [5.0]]), np.array([0, 0, 1])
        >>> found = Panel(values, ("a0", "a1", "b0"), ("a", "b"), group, "strategy")
        >>> next(found.resample(draws=3)).shape
        (3, 2, 1)
        """
        flat = self.values.reshape(len(self.values), -1)
        for weights in resample_weights(self.group, draws, seed=seed, width=flat.shape[1]):
            yield (weights @ flat).reshape(*weights.shape[:2], *self.values.shape[1:])


def unit_means(values: Array, group: Array) -> Array:
    """Mean of ``values`` [models, ...] over the models of each group: [groups, ...].

    Examples
    --------
    >>> unit_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])).tolist()
    [2.0, 5.0]
    """
    counts = np.bincount(group)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, group, values)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))


def resample_weights(group: Array, draws: int, *, seed: int = 0, width: int = 1) -> Iterator[Array]:
    """Weights [b, units, models] whose product with the values gives the unit means of a resample.

    Units are drawn with replacement, then as many models as each has from its own. Batches hold at
    most about four million products.

    Examples
    --------
    >>> weights = next(resample_weights(np.array([0, 0, 1, 2]), draws=5))
    >>> weights.shape, np.allclose(weights.sum(axis=2), 1)
    ((5, 3, 4), True)
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(group == unit) for unit in range(int(group.max()) + 1)]
    batch = max(1, int(4e6 / (len(members) * max(len(group), width))))
    for start in range(0, draws, batch):
        yield _draw(members, len(group), min(batch, draws - start), rng)


def _draw(members: list[Array], n_models: int, count: int, rng: np.random.Generator) -> Array:
    n_units, sizes = len(members), np.array([len(each) for each in members])
    table = np.zeros((n_units, sizes.max()), dtype=int)
    for row, each in zip(table, members, strict=True):
        row[: len(each)] = each
    chosen = rng.integers(n_units, size=(count, n_units))
    weights = np.zeros((count, n_units, n_models))
    at = np.indices(chosen.shape)
    for turn in range(sizes.max()):
        live = turn < sizes[chosen]
        seeds = (rng.random(chosen.shape) * sizes[chosen]).astype(int)
        np.add.at(weights, (at[0], at[1], table[chosen, seeds]), np.where(live, 1 / sizes[chosen], 0.0))
    return weights


def panel(
    data: Any,
    axes: Sequence[str] = ("detector",),
    *,
    metric: str | None = "auroc",
    value: str = "value",
    pooled_seeds: bool = False,
    fill: bool = True,
) -> Panel:
    """A complete panel [models, *axes] of a long table in the columns of outfield's rows.

    Rows of one cell (several sets of one category, say) are averaged. A model is a value of
    ``model``; its strategy is ``strategy`` if that column is there. The units are the strategies as
    soon as one of them has two models.

    Cells that are missing cost the level (a model, or a name along an axis) that misses the largest share of its
    cells, as long as that is more than a fifth; each loss is noted. The gaps that are left are filled: by the sum of
    what the other cells of their lines along every axis say (an additive model; with two axes beside the models all
    interactions of two), and a residual drawn from those of the same column, widened by what the fit took (one draw of
    a multiple imputation [1]). That is right where cells are missing at random. Where they are missing in models (or
    names along an axis) whose values are lower or higher than those of the others (a permutation test, which counts
    the models that were left out), ``biased`` says so, and nothing is inferred.

    Parameters
    ----------
    data : path or frame
    axes : columns that make the axes
    metric : value of the column ``metric`` to read; None for a table without that column
    value : column of the values
    pooled_seeds : take each model as a unit although seeds repeat strategies
    fill : whether gaps are filled; else levels are left out until none is missing

    Raises
    ------
    UserError
        A column is missing, or no complete panel is left.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"model": ["a0", "a1", "b0"], "strategy": ["a", "a", "b"], "detector": ["msp"] * 3,
    ...                      "metric": ["auroc"] * 3, "value": [0.7, 0.9, 0.6]})
    >>> found = panel(rows)
    >>> found.level, found.units, found.means.ravel().round(2).tolist()
    ('strategy', ('a', 'b'), [0.8, 0.6])

    References
    ----------
    [1] Rubin, Multiple imputation for nonresponse in surveys, Wiley 1987.
    """
    frame = select_rows(data, metric)
    require(frame, ["model", *axes, value])
    keys = ["model", *axes]
    whole, every = _dense(frame, keys, value)
    values, names, notes = _left_out(whole, list(every), keys, MOST_FILLED if fill else 0.0)
    of_all = [_codes(kept, known) for kept, known in zip([every[0], *names[1:]], every, strict=True)]
    biased = _related(whole[np.ix_(*of_all)], keys)
    values, said = _filled(values, keys)
    models = names[0]
    return Panel(
        values=values, models=models, axes=dict(zip(axes, names[1:], strict=True)), notes=(*notes, *said),
        biased=biased, **_units(frame, models, pooled_seeds),
    )  # fmt: skip


def _dense(frame: pl.DataFrame, keys: list[str], value: str) -> tuple[Array, list[tuple[str, ...]]]:
    import polars as pl

    frame = frame.with_columns(pl.col(value).cast(pl.Float64).fill_nan(None)).drop_nulls([*keys, value])
    cells = frame.group_by(keys, maintain_order=True).agg(pl.col(value).mean())
    names = [tuple(map(str, cells[key].unique(maintain_order=True))) for key in keys]
    array = np.full([len(each) for each in names], np.nan)
    at = [_codes(cells[key].cast(pl.String).to_list(), each) for key, each in zip(keys, names, strict=True)]
    array[tuple(at)] = cells[value].to_numpy()
    return array, names


def _codes(values: Sequence[str], names: Sequence[str]) -> Array:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[each] for each in values], dtype=int)


def _left_out(
    array: Array, names: list[tuple[str, ...]], keys: list[str], most: float
) -> tuple[Array, list[tuple[str, ...]], tuple[str, ...]]:
    """Leave out, one at a time, the level that misses the largest share of its cells, while one misses more."""
    notes: list[str] = []
    while array.size and np.isnan(array).any():
        shares = [np.isnan(array).mean(axis=tuple(set(range(array.ndim)) - {axis})) for axis in range(array.ndim)]
        if max(share.max() for share in shares) <= most:
            break
        axis = int(np.argmax([share.max() for share in shares]))
        worst = int(shares[axis].argmax())
        cells = int(np.isnan(array).take(worst, axis=axis).sum())
        notes.append(f"Left out {keys[axis]} {names[axis][worst]!r}: {cells} of its cells are missing.")
        array = np.delete(array, worst, axis=axis)
        names[axis] = names[axis][:worst] + names[axis][worst + 1 :]
    if not array.size:
        raise UserError(f"Expected values for every {' x '.join(keys)}, but no complete part is left. Fill the gaps.")
    return array, names, tuple(notes)


def _filled(array: Array, keys: list[str]) -> tuple[Array, tuple[str, ...]]:
    """The array without gaps, and what to say about them."""
    gaps = np.isnan(array)
    if not gaps.any():
        return array, ()
    fitted = _additive(array)
    note = (
        f"Filled {gaps.sum():,} of {gaps.size:,} cells that are missing, as if at random, by what the other cells of "
        f"the same {' and '.join(keys)} say."
    )
    return np.where(gaps, fitted + _residuals(array, fitted), array), (note,)


def _additive(array: Array, rounds: int = 30) -> Array:
    """Fit by backfitting over the cells that are there: what each level gives, then all margins without one axis."""
    known, fitted = ~np.isnan(array), np.zeros_like(array)
    axes = [axis for axis, size in enumerate(array.shape) if size > 1]
    levels = [tuple(other for other in range(array.ndim) if other != axis) for axis in axes]
    for margins in (levels, [(axis,) for axis in axes]):
        counts = [np.maximum(known.sum(axis=over, keepdims=True), 1) for over in margins]
        for over, count in [*zip(margins, counts, strict=True)] * rounds:
            fitted = fitted + np.where(known, array - fitted, 0.0).sum(axis=over, keepdims=True) / count
    return fitted


def _residuals(array: Array, fitted: Array) -> Array:
    """For every cell a residual of its column, wider by what the fit took."""
    rng = np.random.default_rng(0)
    left = (array - fitted).reshape(len(array), -1)
    free = np.prod([1 - 1 / size for size in array.shape if size > 1])
    drawn = np.zeros_like(left)
    for column, known in enumerate(left.T):
        drawn[:, column] = rng.choice(known[~np.isnan(known)], len(left))
    return np.asarray(drawn.reshape(array.shape) / np.sqrt(free))


def _related(array: Array, keys: list[str], draws: int = 1999) -> str:
    """Whether cells are missing where their level is lower or higher than the others beside it: levels permuted."""
    gaps = np.isnan(array)
    if not gaps.any():
        return ""
    rng, values = np.random.default_rng(0), np.where(gaps, _additive(array), array)
    for axis, key in enumerate(keys):
        levels = gaps.shape[axis]
        there, beside = (np.moveaxis(each, axis, 0).reshape(levels, -1) for each in (gaps, values))
        moved = there.astype(float) @ (beside - beside.mean(axis=0)).T
        order = rng.random((draws, levels)).argsort(axis=1)
        seen, chance = np.trace(moved), moved[np.arange(levels), order].sum(axis=1)
        p = (1 + (np.abs(chance) >= abs(seen) - 1e-9 * np.abs(moved).max()).sum()) / (1 + draws)
        if p * len(keys) < UNRELATED:
            way = "lower" if seen < 0 else "higher"
            return f"a {key} misses more of them where its values are {way} than those of the others (p = {p:.2g})"
    return ""


def _units(frame: pl.DataFrame, models: tuple[str, ...], pooled_seeds: bool) -> dict[str, Any]:
    strategy_of = _attribute(frame, "strategy")
    strategies = [strategy_of.get(model) or model for model in models]
    repeated = len(set(strategies)) < len(strategies)
    by_strategy = repeated and not pooled_seeds
    names = tuple(dict.fromkeys(strategies if by_strategy else models))
    group = _codes(strategies if by_strategy else models, names)
    family_of = _attribute(frame, "family")
    families = tuple(family_of.get(models[int(np.argmax(group == unit))]) or "" for unit in range(len(names)))
    level: Level = "strategy" if by_strategy else "pooled" if repeated else "model"
    return {"units": names, "group": group, "level": level, "families": families}


def _attribute(frame: pl.DataFrame, column: str) -> dict[str, str | None]:
    if column not in frame.columns:
        return {}
    return {str(model): value for model, value in frame.select("model", column).unique(maintain_order=True).iter_rows()}
