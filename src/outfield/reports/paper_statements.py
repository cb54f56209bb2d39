"""A paper's statements beside what its own table supports."""

from __future__ import annotations

import polars as pl

from outfield.reports.analysis import Analysis
from outfield.reports.findings.checks import findings
from outfield.stats import critical_difference, spearman
from outfield.tables.profile import Paper
from outfield.types import Estimate


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
        (said["interaction"].topic, said["interaction"].text, _shares(shipped.shares)),
        (said["friedman"].topic, said["friedman"].text, _friedman(shipped, analysis.measures.units.height)),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["topic", "stated", "supported"], orient="row")


def _text(estimate: Estimate, p: float) -> str:
    return f"rho = {estimate.value:+.3f} [{estimate.low:+.2f}, {estimate.high:+.2f}], n = {estimate.n}, p = {p:.2g}"


def _model_level(analysis: Analysis) -> str:
    found = analysis.relations[analysis.main].whole
    return f"over models: {_text(found.estimate, found.p)}"


def _sides(analysis: Analysis) -> str:
    return "; ".join(f"{side}: {_text(found.estimate, found.p)}" for side, found in analysis.sides().items())


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
    return f"{_text(found.estimate, found.p)}: stronger than accuracy"


def _duplicates(analysis: Analysis) -> str:
    pairs = [found.sentence for found in findings(analysis) if found.code == "OF004"]
    return " ".join(pairs) or "no near-duplicates"


def _shares(shares: dict[str, float]) -> str:
    return (
        f"eta2 as published adds up to {sum(shares.values()):.1%}; the shares are of 9,408 values of 56 models: their "
        "intervals must come from resampling models, for which the rows are needed"
    )


def _friedman(shipped: Paper, models: int) -> str:
    parts = []
    for blocks, name in ((models, "models"), (models * shipped.sets, "model x set pairs")):
        w = shipped.friedman / (blocks * (shipped.treatments - 1))
        difference = critical_difference(shipped.treatments, blocks)
        parts.append(f"{blocks} {name} as blocks: W = {w:.3f}, critical difference {difference:.2f}")
    return "; ".join(parts) + "; pairs of one model are no independent blocks"
