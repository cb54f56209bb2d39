"""Standard errors of a table's cells: how reliable each measure is, and correlations less the noise."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import polars as pl

from outfield.errors import UserError
from outfield.stats import cell_reliability, disattenuated_correlation
from outfield.stats.attenuation import CellReliability, Disattenuated, known_errors
from outfield.stats.base import Level
from outfield.tables.measures import MEAN, Measures
from outfield.types import Array

LEAST_UNITS = 4


def cell_errors(table: Measures) -> dict[str, Array]:
    """The standard errors of every measure of which they are given, or follow from its number of items.

    Of a share over n items ``sqrt(p (1 - p) / (n - 1))``. A given error of 0 is not known, nor is that of a share of 0
    or 1; a measure with fewer than four known errors is left out.
    """
    errors = {name: _given(table, name) for name in (table.id, *table.ood) if _is_given(table, name)}
    errors |= {name: _binomial(table, name) for name in _counted(table) if name not in errors}
    return {name: each for name, each in errors.items() if np.isfinite(each).sum() >= LEAST_UNITS}


def _is_given(table: Measures, name: str) -> bool:
    return table.errors is not None and name in table.errors.columns


def _given(table: Measures, name: str) -> Array:
    return known_errors([] if table.errors is None else table.errors[name].cast(pl.Float64).to_numpy())


def _counted(table: Measures) -> list[str]:
    """Measures that are shares of a known number of items, each of one model."""
    if table.level != "model" or (table.performance is not None and table.performance.metric != "accuracy"):
        return []
    names = (table.id,) if table.detection else (table.id, *table.ood)
    return [name for name in names if table.items.get(name, 0) > 1]


def _binomial(table: Measures, name: str) -> Array:
    p = table.column(name)
    return known_errors(np.sqrt(np.clip(p * (1 - p), 0, None) / (table.items[name] - 1)))


def _level(table: Measures) -> Level:
    return "strategy" if table.level == "strategy" else "model"


def reliabilities(table: Measures) -> dict[str, CellReliability]:
    """The reliability of every measure whose errors are known.

    Raises
    ------
    UserError
        No errors are known.
    """
    if not (errors := cell_errors(table)):
        raise UserError("Expected standard errors of cells, or numbers of items, but the table has none.")
    return {name: cell_reliability(table.column(name), each, level=_level(table)) for name, each in errors.items()}


def reliability_frame(table: Measures) -> pl.DataFrame:
    """Spread over models, standard error and reliability of every measure whose errors are known."""
    rows = [
        (name, found.n_units, found.spread, found.noise, found.reliability.value, found.reliability.low,
         found.reliability.high, "given" if _is_given(table, name) else "items")
        for name, found in reliabilities(table).items()
    ]  # fmt: skip
    columns = ["measure", "n", "sd over models", "standard error", "reliability", "low", "high", "error from"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def less_noise(table: Measures, most_pairs: int) -> dict[tuple[str, ...], Disattenuated]:
    """Correlations of the ID measure with every OOD measure, and of pairs given the ID measure, less the noise.

    Keys are (ID, OOD), or (OOD, OOD, ID) for pairs; those of which no error is known are left out.
    """
    errors = cell_errors(table)
    pairs = list(combinations([name for name in table.ood if name != MEAN], 2))[:most_pairs]
    wanted: list[tuple[str, ...]] = [*((table.id, ood) for ood in table.ood), *((a, b, table.id) for a, b in pairs)]
    return {
        names: disattenuated_correlation(
            *map(table.column, names), errors=[errors.get(name) for name in names], level=_level(table)
        )
        for names in wanted
        if set(names) & set(errors)
    }


def less_noise_frame(correlations: Mapping[tuple[str, ...], Disattenuated]) -> pl.DataFrame:
    """Raw and corrected linear correlations with intervals.

    Raises
    ------
    UserError
        No errors are known.
    """
    rows = [
        (*names, *([""] * (3 - len(names))), found.n_units, found.raw.value, found.raw.low, found.raw.high,
         found.corrected.value, found.corrected.low, found.corrected.high)
        for names, found in correlations.items()
    ]  # fmt: skip
    if not rows:
        raise UserError("Expected standard errors of cells, or numbers of items, but the table has none.")
    columns = ["first", "second", "given", "n", "raw", "raw low", "raw high", "less noise", "low", "high"]
    return pl.DataFrame(rows, schema=columns, orient="row")
