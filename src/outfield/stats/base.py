"""What every statistic returns: a small frozen value that says what it infers about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from outfield.errors import UserError
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

Level: TypeAlias = Literal[
    "strategy",
    "configuration",
    "family",
    "architecture",
    "network",
    "size",
    "source",
    "cluster",
    "model",
    "run",
    "sample",
    "block",
    "pooled",
]
"""What the independent units are. ``pooled`` says that rows were taken as units although they are none."""

POOLED = (
    "Pooled rows are not independent: rows of one model share its weights. The interval and p hold for "
    "independent rows only; read the model level instead."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """A statistic with the level that it infers at, its number of independent units and its correction.

    Parameters
    ----------
    level : str
        ``strategy``, ``configuration`` (seeds averaged), ``family``, ``architecture``, ``network``, ``size``,
        ``source`` or ``cluster`` (rows stay, which are kin), ``model``, ``run``, ``sample`` or ``block``; ``pooled``
        is a warning.
    n_units : int
        How many independent units of that level there are.
    correction : str
        For how many comparisons, and how, p-values were corrected; ``none`` for a single one.
    notes : tuple of str
        What was done to the input: dropped rows, clipped values, averaged ties.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False)
    ... class Gap(Result):
    ...     gap: Estimate
    >>> Gap(Estimate(0.1, 0.0, 0.2), level="strategy", n_units=7).frame().select("gap", "gap_low", "level").rows()
    [(0.1, 0.0, 'strategy')]
    """

    level: Level = "model"
    n_units: int = 0
    correction: str = "none"
    notes: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        """The numbers as one row (results of several rows override this)."""
        import polars as pl

        return pl.DataFrame([dict(self._cells())])

    def plot(self) -> alt.TopLevelMixin:
        """The numbers as a chart: here each estimate as a dot with its interval."""
        from outfield.stats import _plots

        return _plots.estimates(dict(self._estimates()))

    def _cells(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Estimate):
                yield from (
                    (field.name, value.value),
                    (f"{field.name}_low", value.low),
                    (f"{field.name}_high", value.high),
                )
            elif isinstance(value, str | int | float | np.number):
                yield field.name, value
            elif field.name == "notes":
                yield field.name, " ".join(value)

    def _estimates(self) -> Iterator[tuple[str, Estimate]]:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), Estimate):
                yield field.name, value


def vector(values: Any, name: str = "values") -> Array:
    """``values`` as a one-dimensional float array.

    Raises
    ------
    UserError
        It has more than one dimension, or is not of numbers.

    Examples
    --------
    >>> vector([1, 2])
    array([1., 2.])
    >>> vector([[1, 2]], "accuracy")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected accuracy as a vector, but got shape (1, 2). Pass one column.
    """
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f"Expected numbers as {name}, but got {values!r:.60}. Pass a column of numbers.") from error
    if array.ndim != 1:
        raise UserError(f"Expected {name} as a vector, but got shape {array.shape}. Pass one column.")
    return array


def paired(
    *columns: Any, names: tuple[str, ...] = ("x", "y"), least: int = 4
) -> tuple[list[Array], Array, tuple[str, ...]]:
    """Columns of equal length without the rows that miss a value; which rows stay; and what was dropped.

    Raises
    ------
    UserError
        Lengths differ, fewer than ``least`` complete rows, or a column is constant.

    Examples
    --------
    >>> paired([1, 2, 3, float("nan"), 5], [1, 2, 3, 4, 6])[2]
    ('Dropped 1 of 5 rows with a missing value (row 3).',)
    """
    arrays = [vector(column, name) for column, name in zip(columns, names, strict=True)]
    if len({len(array) for array in arrays}) > 1:
        lengths = dict(zip(names, map(len, arrays), strict=True))
        raise UserError(f"Expected columns of equal length, but got {lengths}. Pass one value of each for every unit.")
    keep = np.logical_and.reduce([np.isfinite(array) for array in arrays])
    kept = [array[keep] for array in arrays]
    if keep.sum() < least:
        raise UserError(
            f"Expected at least {least} complete rows, but got {keep.sum()}. Add units (models or strategies)."
        )
    for array, name in zip(kept, names, strict=True):
        if np.ptp(array) == 0:
            raise UserError(
                f"Expected {name} to vary, but got {array[0]:g} in all {len(array)} rows. Choose another column."
            )
    return kept, keep, dropped(keep)


def dropped(keep: Array) -> tuple[str, ...]:
    """A note on the rows that were left out, empty when none was.

    Examples
    --------
    >>> dropped(np.array([True, False, True])), dropped(np.array([True]))
    (('Dropped 1 of 3 rows with a missing value (row 1).',), ())
    """
    rows = np.flatnonzero(~np.asarray(keep))
    if not len(rows):
        return ()
    which = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
    plural = "s" if len(rows) > 1 else ""
    return (f"Dropped {len(rows)} of {len(keep)} rows with a missing value (row{plural} {which}).",)
