"""Measures as shares: percent is told by its sign, else guessed for all measures of one kind together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.stats.relate import as_share
from outfield.tables.cells import Numbers

DETECTION = re.compile(r"(?<![a-z])(auc|auroc|aupr|auprc|roc|fpr|fnr|tpr|tnr)")
"""Words in the names of measures of detectors, which are on a scale of their own."""
PERCENT = 0.01

Scales = dict[str, float]
"""Measures to what their values are multiplied by."""


def scales(columns: Mapping[str, Numbers], id: str, alone: Sequence[str] = ()) -> tuple[Scales, tuple[str, ...]]:
    """What makes shares of each column, and what was guessed.

    Accuracies are judged together, so that a low one is not misread; so are measures of detection. An ID measure that
    is at most 1 throughout is a share, whatever the others are.

    Parameters
    ----------
    columns : measures by name
    id : the ID measure's name
    alone : names of measures on scales of their own, such as the calibration error

    Raises
    ------
    UserError
        A column is empty, or its values are neither shares nor percent.

    Examples
    --------
    >>> columns = {"acc": [70.1, 80.2], "a": [0.4, 3.0], "auroc": [0.8, 0.9]}
    >>> found = scales({name: Numbers(pl.Series(name, values)) for name, values in columns.items()}, "acc")
    >>> found[0], found[1][0]
    ({'acc': 0.01, 'a': 0.01, 'auroc': 1.0}, 'Read the measures as percent (largest value 80.2) and divided by 100.')
    """
    found: Scales = {}
    notes: list[str] = []
    for group in _groups(columns, id, alone):
        read = {name: columns[name] for name in group}
        if empty := [name for name, each in read.items() if each.values.null_count() == len(each.values) > 0]:
            rows = len(read[empty[0]].values)
            raise UserError(f"Expected numbers in the column {empty[0]}, but all {rows} cells are empty.")
        plain, said = _scale([each.values for each in read.values() if not each.percent])
        notes += said
        found |= {name: PERCENT if each.percent else plain for name, each in read.items()}
        for name in (name for name, each in read.items() if each.percent):
            as_share((read[name].values.drop_nulls() * PERCENT).to_numpy(), name)
    return {name: found[name] for name in columns}, tuple(notes)


def is_detection(name: str) -> bool:
    """Whether a measure is one of detectors, by its name.

    Examples
    --------
    >>> [is_detection(name) for name in ("near AUROC", "FPR95", "macro")]
    [True, True, False]
    """
    return DETECTION.search(name.casefold()) is not None


def _groups(columns: Mapping[str, Numbers], id: str, alone: Sequence[str]) -> Iterator[list[str]]:
    """Names of the measures on one scale each."""
    others = [name for name in columns if name != id and name not in alone]
    with_id = [name for name in others if is_detection(name) == is_detection(id)]
    apart = [name for name in others if name not in with_id]
    together = float(columns[id].values.max() or 0) > 1  # type: ignore[arg-type]  # a column of numbers
    yield [id, *with_id] if together else [id]
    yield from filter(None, (() if together else with_id, apart, *([name] for name in alone)))


def _scale(columns: Sequence[pl.Series]) -> tuple[float, tuple[str, ...]]:
    """What makes shares of columns of one scale, and what was guessed of them."""
    known = np.concatenate([np.empty(0), *(values.drop_nulls().to_numpy() for values in columns)])
    if not known.size:
        return 1.0, ()
    for values in filter(pl.Series.count, columns):
        as_share(values.drop_nulls().to_numpy(), values.name)
    _, said = as_share(known, "the measures" if len(columns) > 1 else columns[0].name)
    if not said:
        return 1.0, ()
    _alike(columns)
    small = [values.name for values in columns if float(values.max() or 0) <= 1]  # type: ignore[arg-type]  # a column of numbers
    told = [f"{name} is at most 1 among percentages: read as percent too." for name in small]
    return PERCENT, (*said, *told, *_mixed(columns))


def _mixed(columns: Sequence[pl.Series]) -> Iterator[str]:
    """Sentences on columns of percentages some values of which look like shares: far below all the others."""
    for values in columns:
        known = values.drop_nulls()
        small, large = (known.filter(part).to_numpy() for part in ((known > 0) & (known <= 1), known > 1))
        if len(small) and len(large) and 10 * small.max() < large.min():
            yield (
                f"{len(small)} of {len(known)} values of {values.name} are at most {small.max():g} and all others at "
                f"least {large.min():g}: read as percent too. Write them in percent if they are shares."
            )


def _alike(columns: Sequence[pl.Series]) -> None:
    """``UserError`` where values up to 1 have the decimals of shares: two more than percentages beside them."""
    beside = pl.concat([values.drop_nulls().rename("") for values in columns])
    for values in columns:
        known = values.drop_nulls()
        small, large = known.filter((known > 0) & (known <= 1)), known.filter(known > 1)
        shares, percent = _decimals(small), _decimals(large if len(large) else beside.filter(beside > 1))
        if len(small) and shares >= percent + 2:
            raise UserError(
                f"Expected {values.name} on one scale with the other measures, but {len(small)} of its {len(known)} "
                f"values are at most 1 ({small[0]:g} is the first) with {shares} decimals, where percentages have "
                f"{percent}: they seem to be shares. Write all in percent, or all as shares."
            )


def _decimals(values: pl.Series) -> int:
    """Decimals that values are written with, at most six."""
    return max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)
