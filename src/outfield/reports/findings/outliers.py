"""Rows that do not fit: out of line with all others, an ID accuracy unlike its kin's, a correlation of one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from scipy import special, stats

from outfield.errors import UserError, with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding
from outfield.stats.influence import Influence, influence
from outfield.stats.outliers import EDGE, EFFICIENCY, OutOfLine, out_of_line
from outfield.types import Array

MOST_ROWS = 3
BENT = 0.02
"""Share of rows out of line, above which the relation is no line, so that its rows are not to blame."""
NEAR, NEAR_OF_MOST = 0.0005, 0.01
"""Accuracies of kin that differ by less are meant to be of one network; the second where ``MOST`` state one."""
MOST = 0.75
STATED = 4
"""Rows that state one accuracy, from which it is a network's."""
FEW_KIN = 6


def out_of_line_with_kin(analysis: Analysis) -> Iterator[Finding]:
    """OF026: rows whose two measures do not fit together, where those of all others do."""
    pairs, rows = _partners(analysis), analysis.measures.units.height
    found: dict[int, tuple[float, str]] = {}
    doubtful: dict[int, tuple[float, str]] = {}
    for a, b in pairs:
        try:
            line = _line(analysis, a, b, 1 - 0.05 / len(pairs))
        except UserError:
            continue
        if len(line.rows) <= max(MOST_ROWS, BENT * rows):
            for told, places, text in ((found, line.rows, _misfit), (doubtful, line.doubtful, _slightly)):
                for i in map(int, places):
                    told[i] = max(told.get(i, (0.0, "")), (float(line.distance[i]), text(analysis, a, b, line, i)))
    texts = [text for _, text in sorted(found.values(), reverse=True)]
    yield from (Finding("OF026", "warning", text) for text in texts[:MOST_ROWS])
    if len(texts) > MOST_ROWS:
        yield Finding("OF026", "warning", f"So are {len(texts) - MOST_ROWS} rows more, which lie nearer.")
    if near := [doubtful[i][1] for i in sorted(doubtful, key=lambda i: doubtful[i], reverse=True) if i not in found]:
        yield Finding(
            "OF026", "info",
            f"Doubtful: {with_and(near, most=MOST_ROWS)}. Among {rows} rows, one that far out can be chance.",
        )  # fmt: skip


def _partners(analysis: Analysis) -> list[tuple[str, str]]:
    """Each OOD measure with the measure that it goes together with most; ID accuracies with OOD accuracies too."""
    table = analysis.measures
    columns = [*analysis.sets, *([] if table.detection else [table.id])]
    if len(columns) < 2:
        return []
    ranked = stats.rankdata(np.stack([table.column(name) for name in columns]), axis=1)
    with np.errstate(invalid="ignore"):
        together = np.abs(np.nan_to_num(np.corrcoef(ranked)))
    np.fill_diagonal(together, -1)
    pairs = {tuple(sorted((i, int(together[i].argmax())))) for i in range(len(columns))}
    return [(columns[i], columns[j]) for i, j in sorted(pairs)]


def _line(analysis: Analysis, a: str, b: str, confidence: float) -> OutOfLine:
    return out_of_line(analysis.measures.column(a), analysis.measures.column(b), confidence=confidence)


def _misfit(analysis: Analysis, a: str, b: str, line: OutOfLine, i: int) -> str:
    table = analysis.measures
    x, y = (float(table.column(name)[i]) for name in (a, b))
    return (
        f"{table.names[i]!r} is out of line: {a} {x:.3f} and {b} {y:.3f} do not fit together as those of the other "
        f"rows do. With this {b}, {a} is expected at {line.expected_x[i]:.3f}; with this {a}, {b} at "
        f"{line.expected_y[i]:.3f} ({line.first[i]:+.1f} and {line.second[i]:+.1f} robust standard deviations, where "
        f"{line.cut:.1f} is the most that chance gives in {line.n_units} rows). Check both values at their source."
    )


def _slightly(analysis: Analysis, a: str, b: str, line: OutOfLine, i: int) -> str:
    name = analysis.measures.names[i]
    return f"{name!r} ({a} {line.first[i]:+.1f}, {b} {line.second[i]:+.1f} robust standard deviations)"


# --- ID accuracy ---


def unlike_its_kin(analysis: Analysis) -> Iterator[Finding]:
    """OF027: on a board of detectors, ID accuracies that differ where one network is meant, or are far from kin."""
    table = analysis.measures
    if not table.detection or table.rows is not None:
        return
    for name, places in _kin(analysis).items():
        if len(places) >= FEW_KIN and _share_networks(table.column(table.id)[places]):
            yield from _nearly_equal(analysis, name, places)
            yield from _far(analysis, name, places)


def _kin(analysis: Analysis) -> dict[str, Array]:
    """Rows that are kin: of one cluster, else of one family, else all; what puts half the rows or more together."""
    table = analysis.measures
    for labels in (table.clusters, table.families):
        marks = np.asarray(labels)
        found = {str(name): np.flatnonzero(marks == name) for name in np.unique(marks)}
        if sum(len(places) for places in found.values() if len(places) >= FEW_KIN) >= table.units.height / 2:
            return found
    return {"": np.arange(table.units.height)}


def _share_networks(accuracies: Array) -> bool:
    """Whether rows are detectors on a few networks: most repeat another's accuracy."""
    return len(np.unique(accuracies)) <= len(accuracies) / 2


def _nearly_equal(analysis: Analysis, kin: str, places: Array) -> Iterator[Finding]:
    """Rows beside a value that several of their kin state, so near that the same network is meant."""
    table = analysis.measures
    values = table.column(table.id)[places]
    stated, counts = np.unique(values, return_counts=True)
    for usual, count in zip(stated[counts >= STATED], counts[counts >= STATED], strict=True):
        near = NEAR_OF_MOST if count >= MOST * len(places) else NEAR
        beside = places[(values != usual) & (abs(values - usual) < near)]
        if len(beside) and counts[abs(stated - usual) < near].max() == count:
            each = [f"{table.names[i]!r} {_percent(table.column(table.id)[i])}" for i in beside]
            yield Finding(
                "OF027", "warning" if _beyond(analysis, places[values == usual], beside) else "info",
                f"{_of(kin)}{count} of {len(places)} rows state {table.id} {_percent(usual)}, but {len(beside)} nearly "
                f"that: {with_and(each)}. One network has one accuracy: these are of another one, of fewer runs, or "
                "measured in another way, so their detectors are not compared on the same network.",
            )  # fmt: skip


def _beyond(analysis: Analysis, usual: Array, beside: Array) -> bool:
    """Whether a row lies further from the usual value than two standard errors, or ``NEAR`` where none are known."""
    table = analysis.measures
    if table.errors is None or table.id not in table.errors.columns:
        return bool((abs(table.column(table.id)[beside] - table.column(table.id)[usual[0]]) >= NEAR).any())
    values, errors = table.column(table.id), table.errors[table.id].fill_null(0.0).to_numpy().astype(float)
    return bool((abs(values[beside] - values[usual[0]]) > 2 * np.hypot(errors[beside], errors[usual[0]])).any())


def _far(analysis: Analysis, kin: str, places: Array) -> Iterator[Finding]:
    """Rows far from the median of their kin's accuracies, each of which counts once, if no other row has about theirs.

    Several rows of one value far from the others are detectors on a network of another kind.
    """
    table = analysis.measures
    values = table.column(table.id)[places]
    if values.min() < 0 or values.max() > 1:
        return
    known = special.logit(np.clip(np.unique(values), EDGE, 1 - EDGE))
    spread = float(stats.median_abs_deviation(known, scale="normal"))
    if len(known) < FEW_KIN or spread == 0:
        return
    distance = (special.logit(np.clip(values, EDGE, 1 - EDGE)) - np.median(known)) / spread
    cut = stats.t.isf(0.025 / len(known), EFFICIENCY * len(known))
    alone = (abs(values[:, None] - values) < NEAR).sum(axis=1) == 1
    far = places[(abs(distance) > cut) & alone]
    if len(far):
        each = [f"{table.names[i]!r} {_percent(table.column(table.id)[i])}" for i in far]
        yield Finding(
            "OF027", "warning",
            f"{_of(kin)}{table.id} is far from that of its kin (median {_percent(special.expit(np.median(known)))}) in "
            f"{len(far)} of {len(places)} rows: {with_and(each)}. What a detector does there is not comparable with "
            "the others, or the value is wrong.",
        )  # fmt: skip


def _of(kin: str) -> str:
    return f"{kin}: " if kin else ""


def _percent(value: float) -> str:
    return f"{value:.2%}"


# --- a correlation that hangs on one row ---


def one_row(analysis: Analysis) -> Iterator[Finding]:
    """OF029: a correlation of the ID measure with an OOD measure that one row makes, or whose verdict it decides."""
    table = analysis.measures
    for ood in table.ood:
        kinds: Mapping[Literal["pearson", "spearman"], str] = {"pearson": "Pearson", "spearman": "Spearman"}
        found = {word: _influence(analysis, ood, kind) for kind, word in kinds.items()}
        deciding = {word: one for word, one in found.items() if one is not None and one.decides}
        if deciding:
            each = [
                f"{word} {_number(one)} with {table.names[one.at]!r}, {_number(one, without=True)} without"
                for word, one in deciding.items()
            ]
            other = [
                f"{word} {one.whole.estimate.value:+.2f}" for word, one in found.items() if one and word not in deciding
            ]
            tail = f" ({with_and(other)} with all)" if other else ""
            yield Finding(
                "OF029", "warning",
                f"{table.id_word} with {ood} hangs on one of {table.units.height} rows: {with_and(each)}{tail}.",
            )  # fmt: skip


def _influence(analysis: Analysis, ood: str, kind: Literal["pearson", "spearman"]) -> Influence | None:
    table = analysis.measures
    try:
        return influence(table.column(table.id), table.column(ood), kind=kind)
    except UserError:
        return None


def _number(found: Influence, without: bool = False) -> str:
    estimate = (found.without if without else found.whole).estimate
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
