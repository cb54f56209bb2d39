"""What rows of one family change: what the usual analysis would have claimed, and Simpson's paradox."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from outfield.errors import UserError, plural
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding
from outfield.stats import holm, spearman
from outfield.stats.relate import Correlation
from outfield.tables.kin import families
from outfield.types import Array, Estimate

WIDER = 1.5
"""How many times wider an interval is by family than by row, from which it is told."""
MOST = 3
LEAST_ROWS = 6
"""Rows of a family below which its own correlation is not looked at."""


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _clear(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


# --- OF022 ---


def rows_taken_as_independent(analysis: Analysis) -> Iterator[Finding]:
    """OF022: intervals by row claim what those by family do not, or are much narrower."""
    table = analysis.measures
    if table.level == "configuration" and table.repeated:
        yield _averaged(analysis)
    if not table.clusters:
        return
    pairs = {ood: (analysis.naive[ood], found.whole) for ood, found in analysis.relations.items()}
    lost = {ood: pair for ood, pair in pairs.items() if _clear(pair[0].estimate) and not _clear(pair[1].estimate)}
    wider = {ood: pair for ood, pair in pairs.items() if ood not in lost and _times(*pair) >= WIDER}
    told = {**lost, **wider}
    if told:
        each = "; ".join(_beside(ood, *pair) for ood, pair in list(told.items())[:MOST])
        more = f"; and {len(told) - MOST} more" if len(told) > MOST else ""
        yield Finding("OF022", "warning" if lost else "info", f"{_kin(analysis)} {each}{more}.")


def _kin(analysis: Analysis) -> str:
    table = analysis.measures
    word = plural("unit" if analysis.level == "cluster" else analysis.level)
    return (
        f"{table.units.height:,} rows are of {analysis.n_units:,} {word}, and tell as much as about "
        f"{analysis.independent:,.0f} independent ones."
    )


def _times(usual: Correlation, ours: Correlation) -> float:
    """How many times wider ours is; infinite where there is none."""
    width = ours.estimate.high - ours.estimate.low
    return float("inf") if np.isnan(width) else float(width / (usual.estimate.high - usual.estimate.low))


def _beside(ood: str, usual: Correlation, ours: Correlation) -> str:
    known = np.isfinite(ours.estimate.low)
    by_kin = f"[{ours.estimate.low:+.3f}, {ours.estimate.high:+.3f}], p = {ours.p:.1g}" if known else "no interval"
    by_row = f"{usual.estimate.value:+.3f} [{usual.estimate.low:+.3f}, {usual.estimate.high:+.3f}]"
    return (
        f"{ood}: by rows rho = {by_row}, p = {usual.p:.1g} (n = {usual.n_units:,}); by {ours.level} {by_kin} (n = "
        f"{ours.n_units:,})"
    )


def _averaged(analysis: Analysis) -> Finding:
    table, whole = analysis.measures, analysis.relations[analysis.main].whole
    times = np.sqrt(table.repeated / table.units.height)
    return Finding(
        "OF022", "warning",
        f"{table.repeated:,} rows differ in a seed alone and are {table.units.height} configurations. Taken as "
        f"{table.repeated:,} independent units, intervals would be about {times:.1f} times too narrow; over "
        f"configurations {analysis.main} has rho = {_number(whole.estimate)} (n = {whole.n_units}, p = {whole.p:.2g}).",
    )  # fmt: skip


# --- OF023 ---


def reversed_within(analysis: Analysis) -> Iterator[Finding]:
    """OF023: within families the relation goes the other way than over all rows (Simpson's paradox)."""
    marks = _marks(analysis)
    for ood, found in analysis.relations.items():
        inner = _inner(analysis, ood, marks)
        if not inner:
            continue
        whole = analysis.naive[ood].estimate if not analysis.measures.clusters else found.whole.estimate
        against = {name: each for name, each in inner.items() if each.estimate.value * whole.value < 0}
        split = _within(analysis, ood)
        if split is not None and split.value * whole.value < 0 and _clear(split):
            yield Finding("OF023", "warning", _paradox(analysis, ood, whole, split, inner))
        elif _clear(analysis.naive[ood].estimate) and (turned := _significant(against, len(inner))):
            each = ", ".join(f"{name} {_number(one.estimate)} (n = {one.n_units})" for name, one in turned.items())
            yield Finding(
                "OF023", "info",
                f"{analysis.measures.id_word} with {ood}: {_number(whole)} over all rows, the other way within {each}.",
            )  # fmt: skip


def _marks(analysis: Analysis) -> Array:
    table = analysis.measures
    return np.asarray(table.clusters or (table.families if table.has_families else families(table.names)))


def _within(analysis: Analysis, ood: str) -> Estimate | None:
    """The pooled correlation within families; over rows where these are too few for an interval by family."""
    try:
        found = analysis.levels[ood].within
    except UserError:
        return None
    if np.isfinite(found.low):
        return found
    x, y, marks = (analysis.measures.column(analysis.measures.id), analysis.measures.column(ood), _marks(analysis))
    centred = [_centred(column, marks) for column in (x, y)]
    free = len(x) - len(set(marks.tolist()))
    if free < LEAST_ROWS:
        return None
    return spearman(*centred).estimate


def _centred(column: Array, marks: Array) -> Array:
    _, codes = np.unique(marks, return_inverse=True)
    return np.asarray(column - (np.bincount(codes, column) / np.bincount(codes))[codes])


def _inner(analysis: Analysis, ood: str, marks: Array) -> dict[str, Correlation]:
    """Spearman within each family of enough rows."""
    x, y = analysis.measures.column(analysis.measures.id), analysis.measures.column(ood)
    found = {}
    for name in dict.fromkeys(marks.tolist()):
        rows = marks == name
        if LEAST_ROWS <= rows.sum() < len(marks) and np.ptp(x[rows]) > 0 and np.ptp(y[rows]) > 0:
            found[name] = spearman(x[rows], y[rows])
    return found


def _significant(inner: dict[str, Correlation], looked_at: int) -> dict[str, Correlation]:
    """Those that differ from 0 after Holm's correction for all families that were looked at."""
    p = holm([each.p for each in inner.values()] + [1.0] * (looked_at - len(inner)))
    return {name: each for (name, each), one in zip(inner.items(), p, strict=False) if one < 0.05}


def _paradox(
    analysis: Analysis, ood: str, whole: Estimate, split: Estimate, inner: dict[str, Correlation]
) -> str:  # fmt: skip
    largest = sorted(inner.items(), key=lambda item: -item[1].n_units)[:6]
    each = ", ".join(f"{name} {_number(found.estimate)}" for name, found in largest)
    more = f", and {len(inner) - len(largest)} more" if len(inner) > len(largest) else ""
    return (
        f"{analysis.measures.id_word} with {ood}: {_number(whole)} over all rows, {_number(split)} within families "
        f"(Simpson's paradox): {each}{more}. What differs between families makes the first; a better model of a family "
        "goes with the second."
    )
