"""The checks: each reads an analysis and yields findings; what a table does not allow is passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding, ordered
from outfield.reports.findings.cell_errors import best_of_many, error_of_zero
from outfield.reports.findings.chance import chance, no_detector
from outfield.reports.findings.columns import constant, uneven_mean
from outfield.reports.findings.copies import near_duplicates
from outfield.reports.findings.kin import reversed_within, rows_taken_as_independent
from outfield.reports.findings.measurement_error import noisy_cells
from outfield.reports.findings.missing import missing_not_at_random
from outfield.reports.findings.outliers import one_row, out_of_line_with_kin, unlike_its_kin
from outfield.reports.findings.runs import of_runs
from outfield.stats import spearman
from outfield.stats.recommend import TIE
from outfield.stats.relate import Correlation
from outfield.stats.units import Panel
from outfield.tables.directions import unknown
from outfield.types import Estimate

FEW_ITEMS = 200
SATURATED = 0.95
SMALL_SHARE = 0.02


def findings(analysis: Analysis) -> tuple[Finding, ...]:
    """All findings of an analysis, the gravest first.

    Examples
    --------
    >>> from outfield.reports.analysis import analyse
    >>> sorted({found.code for found in findings(analyse(example="krumpl2026"))})
    ['OF001', 'OF002', 'OF003', 'OF004', 'OF010', 'OF012']
    """
    return ordered(found for check in CHECKS for found in _run(check, analysis))


def _run(check: Callable[[Analysis], Iterator[Finding]], analysis: Analysis) -> list[Finding]:
    try:
        return list(check(analysis))
    except UserError:
        return []


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def pooled_not_borne_out(analysis: Analysis) -> Iterator[Finding]:
    """OF001: rows pooled are significant, units are not."""
    if analysis.profile and analysis.profile.paper.pooled_rows:
        yield from _published_pooled(analysis)
        return
    pooled, whole = analysis.pooled
    if pooled.p < 0.05 <= whole.p:
        yield Finding(
            "OF001", "error",
            f"Pooled over {len(pooled.x):,} rows, {analysis.measures.id_word} and AUROC correlate "
            f"{pooled.estimate.value:+.3f} (p = {pooled.p:.1g}); at the level of the {analysis.measures.level} it is "
            f"{_number(whole.estimate)} (n = {whole.n_units}, p = {whole.p:.2f}). Rows of one model are not "
            "independent.",
        )  # fmt: skip


def _published_pooled(analysis: Analysis) -> Iterator[Finding]:
    whole = analysis.relations[analysis.main].whole
    if analysis.profile and whole.p >= 0.05:
        stated = analysis.profile.paper
        yield Finding(
            "OF001", "error",
            f"The paper's pooled {stated.statements['pooled'].text} needs {stated.pooled_rows:,} independent points; "
            f"over its {whole.n_units} models rho = {_number(whole.estimate)}, p = {whole.p:.2f}.",
        )  # fmt: skip


def family_carries(analysis: Analysis) -> Iterator[Finding]:
    """OF002: without one family a correlation loses or turns its sign, or appears; all such families together."""
    for ood, found in analysis.relations.items():
        whole = found.whole.estimate
        families = dict.fromkeys((*found.carried_by, *_hidden_by(found.whole, found.without)))
        if families:
            each = ", ".join(f"{_number(found.without[family].estimate)} without {family}" for family in families)
            yield Finding(
                "OF002", "warning",
                f"{analysis.measures.id_word} with {ood}: {_number(whole)} with all {found.whole.n_units} units, "
                f"{each}.",
            )  # fmt: skip
    yield from _shape_carried(analysis)


def _hidden_by(whole: Correlation, without: dict[str, Correlation]) -> list[str]:
    if not whole.estimate.low <= 0 <= whole.estimate.high:
        return []
    same = np.sign(whole.estimate.value)
    clear = {k: v.estimate for k, v in without.items() if not v.estimate.low <= 0 <= v.estimate.high}
    return [family for family, estimate in clear.items() if np.sign(estimate.value) == same]


def _shape_carried(analysis: Analysis) -> Iterator[Finding]:
    sides = analysis.sides()
    low = sides["up to the baseline"]
    table = analysis.measures
    x, y, families = table.oriented(table.column(table.id)), table.column(analysis.main), np.asarray(table.families)
    below = x <= x[table.names.index(str(table.baseline))]
    named, counts = np.unique(families[below], return_counts=True)
    for biggest in named[counts == counts.max()]:
        keep = below & (families != biggest)
        if keep.sum() < 5 or low.p >= 0.05:
            continue
        rest = spearman(x[keep], y[keep])
        if rest.estimate.value < low.estimate.value / 2 or rest.p >= 0.05:
            yield Finding(
                "OF002", "warning",
                f"The rise up to the baseline ({_number(low.estimate)}, n = {low.n_units}) is {_number(rest.estimate)} "
                f"(n = {rest.n_units}) without {biggest}, the family of {low.n_units - rest.n_units} models there.",
            )  # fmt: skip


def one_checkpoint(analysis: Analysis) -> Iterator[Finding]:
    """OF003: strategies are not repeated, so that strategy and checkpoint cannot be told apart."""
    if analysis.measures.level == "model" and _of_strategies(analysis):
        n = analysis.measures.units.height
        yield Finding(
            "OF003", "info",
            f"Each of {n} strategies has one checkpoint: what is the strategy's and what is the seed's cannot be told. "
            "Train three seeds of some.",
        )  # fmt: skip


def _of_strategies(analysis: Analysis) -> bool:
    """Whether models are one network trained in different ways; those of a board differ in all."""
    rows, known = analysis.measures.rows, analysis.profile
    return (rows is not None and "strategy" in rows.columns) or (known is not None and known.strategies)


SOURCES = {
    "cifar10": "tiny images", "cifar100": "tiny images", "tin": "imagenet", "tiny_imagenet": "imagenet",
    "tiny imagenet": "imagenet", "imagenet-o": "imagenet", "openimage_o": "open images", "openimages": "open images",
    "ninco": "ninco", "ninco unit tests": "ninco", "ssb_hard": "imagenet", "mnist": "nist", "emnist": "nist",
    "texture": "dtd", "textures": "dtd", "dtd": "dtd",
}  # fmt: skip
"""Where the pictures of well-known OOD sets come from; sets of one source are no independent test."""


def shared_source(analysis: Analysis) -> Iterator[Finding]:
    """OF005: tuned on an OOD set that shares a source with a test set."""
    tuned_on = analysis.measures.tuned_on
    for ood in analysis.sets:
        source = SOURCES.get(ood.lower())
        shared = [val for val in tuned_on if val == ood or (source and SOURCES.get(val.lower()) == source)]
        if shared:
            what = ", ".join(shared)
            yield Finding(
                "OF005", "error", f"Detectors were tuned on {what}, which shares a source with the test {ood}."
            )


def few_items(analysis: Analysis) -> Iterator[Finding]:
    """OF006: an OOD set of fewer than 200 items."""
    for ood, n in analysis.measures.items.items():
        if n < FEW_ITEMS:
            half = 1.96 * np.sqrt(0.25 / n)
            yield Finding("OF006", "warning", f"{ood} has {n} items: its estimates are good to +-{half:.3f} at best.")


def below_half(analysis: Analysis) -> Iterator[Finding]:
    """OF007: an AUROC below .5."""
    table = analysis.measures
    cells = [
        (ood, table.names[i], float(v)) for ood in _aurocs(analysis) for i, v in enumerate(table.column(ood)) if v < 0.5
    ]
    if table.rows is not None:
        low = table.rows.filter(pl.col("metric") == "auroc", pl.col("value") < 0.5)
        cells = [(f"{r['detector']} on {r['ood']}", r["unit"], r["value"]) for r in low.to_dicts()]
    if cells:
        lowest = min(value for _, _, value in cells)
        named = with_and([f"{where}, {unit}" for where, unit, value in cells if value <= lowest + TIE], most=3)
        yield Finding(
            "OF007", "warning",
            f"{len(cells)} AUROCs are below .5 (lowest: {named}, {lowest:.3f}): the score ranks OOD as more ID "
            "than ID. Check its direction, or read it as a property of that set.",
        )  # fmt: skip


def _aurocs(analysis: Analysis) -> list[str]:
    """The OOD measures that are AUROCs: higher is better, and the name says AUROC where any name does."""
    table = analysis.measures
    if not table.detection:
        return []
    higher = [name for name in analysis.sets if table.directions.get(name)]
    return [name for name in higher if "auroc" in name.casefold()] or higher


def smoother_decides(analysis: Analysis) -> Iterator[Finding]:
    """OF008: partial correlations by several smoothers differ in sign."""
    turned = {pair: found.estimates for pair, found in analysis.pairs.items() if found.sign_differs}
    for (a, b), values in list(turned.items())[:3]:
        each = ", ".join(f"{kind} {_value(found.value)}" for kind, found in values.items() if kind != "plain")
        plain = f"(plain {_value(values['plain'].value)})"
        yield Finding("OF008", "warning", f"{a} and {b} given {analysis.measures.id_word}: {each} {plain}.")
    if len(turned) > 3:
        rest = ", ".join(f"{a} and {b}" for a, b in list(turned)[3:])
        yield Finding("OF008", "warning", f"So for {len(turned) - 3} pairs more: {rest}.")


def _value(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:+.2f}"


def one_scale(analysis: Analysis) -> Iterator[Finding]:
    """OF009: an interaction's share is small on one scale and several times larger on the other."""
    raw, logit = analysis.variance["raw"], analysis.variance["logit"]
    for term in raw.frame()["term"]:
        if " x " not in term:
            continue
        first, second = raw.row(term)["omega2"], logit.row(term)["omega2"]
        small, large = sorted((max(first, 0.0), max(second, 0.0)))
        if large >= SMALL_SHARE and small < large / 2:
            yield Finding(
                "OF009", "warning",
                f"{term}: {first:.1%} of the variance on the raw scale, {second:.1%} on the logit scale (omega2): the "
                "interaction depends on the scale.",
            )  # fmt: skip


def ece_predicts_better(analysis: Analysis) -> Iterator[Finding]:
    """OF010: calibration error predicts the OOD measure better than the ID measure, by a test of the difference."""
    ece, whole = analysis.ece.estimate, analysis.relations[analysis.main].whole.estimate
    apart = analysis.ece_apart
    if apart.difference.low > 0 and (ece.low > 0 or ece.high < 0):
        yield Finding(
            "OF010", "info",
            f"ECE correlates {_number(ece)} with {analysis.main}, {analysis.measures.id_word} only {_number(whole)} "
            f"(n = {ece.n}); in strength they differ by {_number(apart.difference)}, p = {apart.p:.2g}.",
        )  # fmt: skip


def saturated(analysis: Analysis) -> Iterator[Finding]:
    """OF011: nearly no room left between the best models, or the OOD measure repeats the ID measure."""
    table = analysis.measures
    for ood in analysis.sets:
        values, higher = table.column(ood), table.directions.get(ood)
        room = np.median(values) if higher is False else 1 - np.median(values)
        if higher is not None and room < 1 - SATURATED:
            yield Finding(
                "OF011", "info", f"{ood}: the median is {np.median(values):.3f}; the set no longer separates models."
            )
        elif abs(analysis.relations[ood].whole.estimate.value) > 0.98:
            rho = analysis.relations[ood].whole.estimate.value
            yield Finding(
                "OF011", "info", f"{ood} repeats {table.id_word} (rho = {rho:.3f}): it adds next to nothing to it."
            )


def not_monotonic(analysis: Analysis) -> Iterator[Finding]:
    """OF012: both tests of shape find a U or inverse U."""
    quadratic, lines = analysis.shapes["Lind-Mehlum"], analysis.shapes["two lines"]
    p = float(getattr(quadratic, "p", 1.0)), float(getattr(lines, "p", 1.0))
    if max(p) < 0.05:
        shape, at = getattr(lines, "shape", ""), float(getattr(lines, "at", float("nan")))
        fragile = [name for name, found in lines.without.items() if found.p >= 0.05]
        tail = f"; not without {' or '.join(fragile)}" if fragile else ""
        yield Finding(
            "OF012", "info",
            f"{analysis.main} against {analysis.measures.id_word} is an {shape} with its turn near {at:.3f} "
            f"(Lind-Mehlum p = {p[0]:.2g}, two lines p = {p[1]:.2g}){tail}."
            + (" Rows that are kin count as independent here: p is too small." if analysis.measures.clusters else ""),
        )  # fmt: skip


def missing_cells(analysis: Analysis) -> Iterator[Finding]:
    """OF013: units or levels were left out because cells are missing."""
    notes = [note for note in analysis.measures.notes if note.startswith("Left out")]
    try:
        found: Panel | None = analysis.panel if analysis.measures.rows is not None else None
    except UserError:
        found = None
    notes += list(found.notes) if found else []
    if notes:
        more = f" (and {len(notes) - 3} more)" if len(notes) > 3 else ""
        yield Finding("OF013", "warning", " ".join(notes[:3]) + more)


def guessed_scale(analysis: Analysis) -> Iterator[Finding]:
    """OF014: percentages were read as such, or values of 0 or 1 were moved for a probit."""
    notes = [note for note in analysis.measures.notes if "percent" in note]
    if not analysis.measures.detection:
        notes += [note for line in analysis.lines.values() for note in line.notes if "probit" in note]
    if notes:
        yield Finding("OF014", "info", " ".join(dict.fromkeys(notes)))


def duplicate_rows(analysis: Analysis) -> Iterator[Finding]:
    """OF015: rows that are there twice."""
    for note in analysis.measures.notes:
        if "duplicate" in note:
            yield Finding("OF015", "warning", note)


def at_chance(analysis: Analysis) -> Iterator[Finding]:
    """OF016 to OF019: models at or below chance, and models on which no detector tells anything."""
    rows = analysis.measures.rows
    if rows is not None and {"model", "set_kind", "role", "detector", "part", "low", "high"} <= set(rows.columns):
        yield from chance(rows)
        yield from no_detector(rows)


def direction_unknown(analysis: Analysis) -> Iterator[Finding]:
    """OF020: an OOD measure of which it is not known whether higher is better."""
    found = analysis.measures
    if found.rows is None:
        yield from (Finding("OF020", "info", said) for said in unknown(found.ood, found.directions))


def several_families(analysis: Analysis) -> Iterator[Finding]:
    """OF021: rows of one unit name several families."""
    yield from (
        Finding("OF021", "warning", note) for note in analysis.measures.notes if note.startswith("Several families")
    )


def along_runs(analysis: Analysis) -> Iterator[Finding]:
    """OF032, OF033: of a table whose rows are checkpoints of runs."""
    if analysis.along is not None:
        yield from of_runs(analysis.along)


CHECKS: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (
    pooled_not_borne_out, family_carries, one_checkpoint, near_duplicates, shared_source, few_items, below_half,
    smoother_decides, one_scale, ece_predicts_better, saturated, not_monotonic, missing_cells, guessed_scale,
    duplicate_rows, at_chance, direction_unknown, several_families,
    rows_taken_as_independent, reversed_within, error_of_zero, out_of_line_with_kin, unlike_its_kin, best_of_many,
    one_row, constant, uneven_mean, along_runs, noisy_cells,
    missing_not_at_random,
)  # fmt: skip
