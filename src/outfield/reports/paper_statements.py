"""A paper's statements beside what its own table supports."""

from __future__ import annotations

import polars as pl

from outfield.reports.analysis import Analysis
from outfield.reports.findings.checks import findings
from outfield.stats import critical_difference, kendalls_w, published_shares, spearman
from outfield.tables.profile import Paper
from outfield.types import Estimate

OOD_CATEGORIES = 4
"""Of the published three-way analysis: near, far, extreme and synthetic sets."""


def side_by_side(analysis: Analysis) -> pl.DataFrame:
    """Topic, what is stated, what the table supports.

    Examples
    --------
    >>> from outfield.reports.analysis import analyse
    >>> side_by_side(analyse(example="krumpl2026"))["topic"][0]
    'accuracy and AUROC, all rows'
    """
    shipped = analysis.profile.paper if analysis.profile else Paper()
    if not shipped.statements:
        return pl.DataFrame(schema={"topic": pl.String, "stated": pl.String, "supported": pl.String})
    said = shipped.statements
    rows = [
        (said["pooled"].topic, said["pooled"].text, _model_level(analysis)),
        (said["shape"].topic, said["shape"].text, _sides(analysis)),
        ("the same without the adversarial family", "not stated", _without(analysis)),
        ("calibration", "ECE against AUROC is shown as a figure", _calibration(analysis)),
        ("56 models", "56 ways to train", _duplicates(analysis)),
        (said["interaction"].topic, said["interaction"].text, _shares(shipped, analysis.measures.units.height)),
        (said["friedman"].topic, said["friedman"].text, _friedman(shipped, analysis.measures.units.height)),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["topic", "stated", "supported"], orient="row")


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _text(estimate: Estimate, p: float) -> str:
    return f"rho = {_interval(estimate)}, n = {estimate.n}, p = {p:.2g}"


def _model_level(analysis: Analysis) -> str:
    found = analysis.relations[analysis.main].whole
    return f"over models: {_text(found.estimate, found.p)}"


def _sides(analysis: Analysis) -> str:
    each = [f"{side}: {_text(found.estimate, found.p)}" for side, found in analysis.sides().items()]
    apart = analysis.sides_apart()
    return "; ".join([*each, f"they differ by {_interval(apart.difference)}, p = {apart.p:.2g}"])


def _without(analysis: Analysis) -> str:
    table = analysis.measures
    family = "Adversarial Training"
    without = analysis.relations[analysis.main].without[family]
    x, y = table.column(table.id), table.column(analysis.main)
    below = (x <= x[table.names.index(str(table.baseline))]) & [name != family for name in table.families]
    rise = spearman(x[below], y[below])
    return f"all: {_text(without.estimate, without.p)}; up to the baseline: {_text(rise.estimate, rise.p)}"


def _calibration(analysis: Analysis) -> str:
    found = analysis.ece
    apart = analysis.ece_apart
    verdict = "stronger than accuracy" if apart.difference.low > 0 else "not shown to be stronger than accuracy"
    return f"{_text(found.estimate, found.p)}: {verdict}, by {_interval(apart.difference)}, p = {apart.p:.2g}"


def _duplicates(analysis: Analysis) -> str:
    pairs = [found.sentence for found in findings(analysis) if found.code == "OF004"]
    return " ".join(pairs) or "no near-duplicates"


def _shares(shipped: Paper, models: int) -> str:
    levels = {"model": models, "method": shipped.treatments, "OOD category": OOD_CATEGORIES}
    found = published_shares(shipped.shares, levels, shipped.pooled_rows).frame().sort("omega2", descending=True)
    shares = ", ".join(f"{row['term']} {row['omega2']:.1%}" for row in found.to_dicts())
    return (
        f"omega2 from the published shares, which noise is taken off: {shares}. The shares are of "
        f"{shipped.pooled_rows:,} values of {models} models: their intervals must come from resampling models, for "
        "which the rows are needed"
    )


def _friedman(shipped: Paper, models: int) -> str:
    parts = []
    for blocks, name in ((models, "models"), (models * shipped.sets, "model x set pairs")):
        w = kendalls_w(shipped.friedman, blocks, shipped.treatments)
        difference = critical_difference(shipped.treatments, blocks)
        parts.append(f"{blocks} {name} as blocks: W = {w:.3f}, critical difference {difference:.2f}")
    return "; ".join(parts) + "; pairs of one model are no independent blocks"
