"""The checks: each reads an analysis and yields findings; what a table does not allow is passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding, ordered
from outfield.reports.findings.chance import chance, no_detector
from outfield.reports.findings.missing import missing_not_at_random
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
    ['OF001', 'OF002', 'OF003', 'OF004', 'OF010', 'OF012', 'OF014']
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
    if analysis.example and analysis.example.pooled_rows:
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
    shipped, whole = analysis.example, analysis.relations[analysis.main].whole
    if shipped and whole.p >= 0.05:
        yield Finding(
            "OF001", "error",
            f"The paper's pooled {shipped.statements['pooled'].text} needs {shipped.pooled_rows:,} independent points; "
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
    if analysis.measures.level == "model":
        n = analysis.measures.units.height
        yield Finding(
            "OF003", "info",
            f"Each of {n} strategies has one checkpoint: what is the strategy's and what is the seed's cannot be told. "
            "Train three seeds of some.",
        )  # fmt: skip


def near_duplicates(analysis: Analysis) -> Iterator[Finding]:
    """OF004: two models equal, to a hundredth of the spread over models, on every one of three measures or more."""
    table = analysis.measures
    columns = [name for name in (table.duplicates or (table.id, *table.ood)) if name in table.units.columns]
    if len(columns) < 3:
        return
    values = table.units.select(columns).to_numpy().astype(float)
    near = (np.abs(values[:, None] - values[None]) <= values.std(axis=0) / 100).all(axis=2)
    for i, j in np.argwhere(np.triu(near, 1)):
        yield Finding(
            "OF004", "warning",
            f"{table.names[i]!r} and {table.names[j]!r} agree on all {len(columns)} measures to a hundredth of the "
            "models' spread: almost surely one checkpoint counted twice.",
        )  # fmt: skip


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
    if not table.detection:
        return
    cells = [
        (ood, table.names[i], float(v)) for ood in analysis.sets for i, v in enumerate(table.column(ood)) if v < 0.5
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


def smoother_decides(analysis: Analysis) -> Iterator[Finding]:
    """OF008: linear, rank and spline partial correlations differ in sign."""
    turned = {pair: found.estimates for pair, found in analysis.pairs.items() if found.sign_differs}
    for (a, b), values in list(turned.items())[:3]:
        each = ", ".join(f"{kind} {values[kind].value:+.2f}" for kind in ("linear", "rank", "spline"))
        plain = f"(plain {values['plain'].value:+.2f})"
        yield Finding("OF008", "warning", f"{a} and {b} given {analysis.measures.id_word}: {each} {plain}.")
    if len(turned) > 3:
        rest = ", ".join(f"{a} and {b}" for a, b in list(turned)[3:])
        yield Finding("OF008", "warning", f"So for {len(turned) - 3} pairs more: {rest}.")


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
    """OF010: calibration error predicts the OOD measure better than the ID measure."""
    ece, whole = analysis.ece.estimate, analysis.relations[analysis.main].whole.estimate
    if abs(ece.value) > abs(whole.value) and (ece.low > 0 or ece.high < 0):
        yield Finding(
            "OF010", "info",
            f"ECE correlates {_number(ece)} with {analysis.main}, {analysis.measures.id_word} only {_number(whole)} "
            f"(n = {ece.n}).",
        )  # fmt: skip


def saturated(analysis: Analysis) -> Iterator[Finding]:
    """OF011: nearly no room left between the best models, or the OOD measure repeats the ID measure."""
    table = analysis.measures
    for ood in analysis.sets:
        values = table.column(ood)
        if np.median(values) > SATURATED and table.directions.get(ood) is not False:
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
            f"(Lind-Mehlum p = {p[0]:.2g}, two lines p = {p[1]:.2g}){tail}.",
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


CHECKS: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (
    pooled_not_borne_out, family_carries, one_checkpoint, near_duplicates, shared_source, few_items, below_half,
    smoother_decides, one_scale, ece_predicts_better, saturated, not_monotonic, missing_cells, guessed_scale,
    duplicate_rows, at_chance, direction_unknown, several_families,
    missing_not_at_random,
)  # fmt: skip
