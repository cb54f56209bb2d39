"""What the standard errors of a table's cells say: errors that nobody measured, and a best that is luck."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding, Severity
from outfield.stats.winner import Winner, winner
from outfield.types import Array

MOST_MEASURES = 3
OVERRATED = 0.25
"""Share of the best row's standard error, from which its being overrated is worth a word."""


def error_of_zero(analysis: Analysis) -> Iterator[Finding]:
    """OF025: cells with an error of exactly 0, which nobody measured."""
    table = analysis.measures
    if table.errors is None:
        return
    zero = {name: np.flatnonzero(_errors(table.errors, name) == 0) for name in table.errors.columns}
    zero = {name: places for name, places in zero.items() if len(places)}
    if zero:
        rows = list(dict.fromkeys(int(i) for places in zero.values() for i in places))
        each = with_and([f"{len(places)} of {name}" for name, places in zero.items()])
        yield Finding(
            "OF025", "warning",
            f"The error is 0 in {sum(map(len, zero.values()))} cells ({each}), in the rows "
            f"{with_and([repr(table.names[i]) for i in rows])}. {_others(table.errors, list(zero))} Nobody measured "
            "it, or it is of one run: it is taken as not known.",
        )  # fmt: skip


def _errors(errors: pl.DataFrame, name: str) -> Array:
    """A column of errors, NaN where none is known."""
    return errors[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _others(errors: pl.DataFrame, names: list[str]) -> str:
    known = np.concatenate([_errors(errors, name) for name in names])
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        return "No cell of these measures has another."
    return f"The others of these measures are {known.min():.2g} to {known.max():.2g} (median {np.median(known):.2g})."


def best_of_many(analysis: Analysis) -> Iterator[Finding]:
    """OF028: a best value that is one of several within their errors, or overrated for having been chosen."""
    found = [one for name in analysis.ranking if (one := _winner(analysis, name)) is not None]
    notable = [one for one in found if len(one[1].alike) > 1 or one[1].curse > OVERRATED * one[2]]
    for name, first, error in notable[:MOST_MEASURES]:
        severity: Severity = "warning" if len(first.alike) > len(first.best) else "info"
        yield Finding("OF028", severity, _chosen(name, first, error))
    if rest := [name for name, *_ in notable[MOST_MEASURES:]]:
        yield Finding("OF028", "info", f"So it is with {len(rest)} measures more: {with_and(rest)}.")


def _winner(analysis: Analysis, name: str) -> tuple[str, Winner, float] | None:
    """A measure, its best rows and the median error; None where errors are not known."""
    table = analysis.measures
    if (errors := _known_errors(analysis, name)) is None:
        return None
    try:
        found = winner(table.column(name), errors, names=table.names, higher_is_better=table.directions[name])
    except UserError:
        return None
    return name, found, float(np.median(errors[errors > 0]))


def _known_errors(analysis: Analysis, name: str) -> Array | None:
    """Errors that the table states, else the binomial ones of accuracies on a set of known size."""
    table = analysis.measures
    if table.errors is not None and name in table.errors.columns:
        return _errors(table.errors, name)
    if name in table.items and not table.detection:
        share = table.column(name)
        return np.asarray(np.sqrt(share * (1 - share) / table.items[name]))
    return None


def _chosen(name: str, one: Winner, error: float) -> str:
    rivals = [row for row in one.alike if row not in one.best]
    alike = (
        f"{with_and([repr(row) for row in rivals])} cannot be told apart from it" if rivals else "no other comes near"
    )
    if len(one.best) == 1:
        first = f"{one.best[0]!r} has the best value of {one.n_units}, {one.value:.4f}"
        chance = f"It is truly the best with probability {one.probability[one.best[0]]:.0%}."
    else:
        first = f"{with_and([repr(row) for row in one.best])} tie at the best value of {one.n_units}, {one.value:.4f}"
        chance = ""
    return (
        f"{name}: {first}; by the cells' errors (median {error:.2g}) {alike}. As the best of so many it is overrated "
        f"by {one.curse:.2g}: {one.shrunken:.4f} is to be expected when it is measured again. {chance}"
    ).strip()
