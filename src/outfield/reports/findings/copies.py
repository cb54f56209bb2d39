"""Models that are in a table twice, under other names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from outfield.errors import with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding
from outfield.types import Array

CHANCE = 0.05
"""Pairs that may agree by chance in a table, before agreement says nothing."""
COARSE = 0.1
"""Share of pairs equal in a measure, above which it says nothing of two models being one."""
MOST_SETS = 5
DIGITS = 12
"""More than a table is written with: values that need them are means."""


def near_duplicates(analysis: Analysis) -> Iterator[Finding]:
    """OF004: models equal on every measure, to a hundredth of the spread or else to the last digit.

    Reported where chance alone would make fewer than ``CHANCE`` such pairs in a table of this size, were the measures
    jointly normal: ``n (n - 1) / 2 * prod(2 t) / sqrt((4 pi)^k det S)`` pairs agree to ``t`` on k measures. So two
    measures are enough if they have many digits.
    """
    table = analysis.measures
    columns = [name for name in (table.duplicates or (table.id, *table.ood)) if name in table.units.columns]
    values = table.units.select(columns).to_numpy().astype(float)
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return
    for within, how in (
        (_spread(values) / 100, "to a hundredth of the models' spread"),
        (_digit(values) / 2, "exactly"),
    ):
        if _by_chance(values, np.maximum(within, _digit(values) / 2)) < CHANCE:
            yield from _told(_sets(values, within), table.names, values.shape[1], how)
            return


def _spread(values: Array) -> Array:
    """Standard deviation of each column, by its middle half where that is less; outliers do not widen it."""
    middle = stats.iqr(values, axis=0, scale="normal")
    return np.asarray(np.where(middle > 0, np.minimum(middle, values.std(axis=0)), values.std(axis=0)))


def _digit(values: Array) -> Array:
    """One of the last digit that each column is written with."""
    return np.array([10.0 ** -next(d for d in range(DIGITS + 1) if _written(column, d)) for column in values.T])


def _written(column: Array, digits: int) -> bool:
    return digits == DIGITS or bool(np.isclose(column, column.round(digits), rtol=0, atol=10.0**-DIGITS).all())


def _by_chance(values: Array, within: Array) -> float:
    """Pairs of different models that agree on all measures by chance; infinite where too few have digits enough."""
    distinct = np.unique(values, axis=0)
    repeated = [(np.unique(column, return_counts=True)[1] ** 2).sum() - len(column) for column in distinct.T]
    fine = np.array(repeated) <= COARSE * len(distinct) * (len(distinct) - 1)
    if fine.sum() < 2 or len(distinct) < 4:
        return np.inf
    share = 2 * (within / _spread(distinct))[fine] / np.sqrt(4 * np.pi)
    together = np.linalg.det(np.atleast_2d(np.corrcoef(stats.rankdata(distinct[:, fine], axis=0).T)))
    pairs = len(values) * (len(values) - 1) / 2
    return float(pairs * share.prod() / np.sqrt(max(together, 1e-12)))


def _sets(values: Array, within: Array) -> list[Array]:
    """Places of the models that agree, one chain of agreement a set, the largest first."""
    pairs = cKDTree(values / within).query_pairs(1 + 1e-9, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(values), len(values)))
    _, of = connected_components(links, directed=False)
    found = [np.flatnonzero(of == one) for one in np.flatnonzero(np.bincount(of) > 1)]
    return sorted(found, key=lambda places: (-len(places), places[0]))


def _told(sets: list[Array], names: list[str], measures: int, how: str) -> Iterator[Finding]:
    on = "both measures" if measures == 2 else f"all {measures} measures"
    for places in sets[:MOST_SETS]:
        times = "twice" if len(places) == 2 else f"{len(places)} times"
        yield Finding(
            "OF004", "warning",
            f"{with_and([repr(names[i]) for i in places])} agree on {on} {how}: almost surely one checkpoint counted "
            f"{times}.",
        )  # fmt: skip
    if rest := sets[MOST_SETS:]:
        count = sum(map(len, rest))
        yield Finding("OF004", "warning", f"So do {len(rest)} sets more, of {count} models together.")
