"""Cells that are missing where values are low or high."""

from __future__ import annotations

from collections.abc import Iterator

from outfield.reports.analysis import Analysis
from outfield.reports.findings.base import Finding


def missing_not_at_random(analysis: Analysis) -> Iterator[Finding]:
    """OF035: the rows or columns that miss more cells have other values than the rest."""
    if analysis.measures.rows is not None and (why := analysis.panel.biased):
        yield Finding(
            "OF035", "error",
            f"Cells are not missing at random: {why}. No detector is ranked or recommended, for whatever is computed "
            "from the other cells flatters or slights those that were left empty.",
        )  # fmt: skip
