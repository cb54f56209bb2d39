from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.reports.analyses.base import Analysis, Finding, Result
from outfield.reports.results import Results


@dataclass(frozen=True)
class SeedSpread(Analysis):
    """How far the mean AUROCs of the seeds of one strategy lie apart.

    Parameters
    ----------
    wide : float
        The distance from which on a finding says so.
    """

    wide: float = 0.01

    title: ClassVar[str] = "How much the seed decides"
    question: ClassVar[str] = "How far do seeds of one strategy lie apart?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "seed"})

    def of(self, results: Results) -> Result:
        ends = results.strategies.drop_nulls("auroc").select("strategy", "seeds", low="auroc_low", high="auroc_high")
        table = ends.with_columns(spread=pl.col("high") - pl.col("low")).sort(
            "spread", "strategy", descending=[True, False]
        )
        name, spread = table.select("strategy", "spread").row(0)
        answer = f"The seeds of {name} lie furthest apart: {spread:.3f} of mean AUROC."
        drawn = "A line a strategy, from its lowest to its highest seed; mean AUROC over detectors and OOD sets."
        return Result(table, (answer, drawn), _lines(table), self._findings(table))

    def _findings(self, table: pl.DataFrame) -> tuple[Finding, ...]:
        wide = table.filter(pl.col("spread") >= self.wide)["strategy"].to_list()
        if not wide:
            return ()
        sentence = f"Seeds lie {self.wide} of mean AUROC or more apart for {', '.join(wide)}."
        return (Finding("EX001", "info", sentence, "The seed decides", "## What to do\n\nTrain more seeds."),)


def _lines(table: pl.DataFrame) -> alt.TopLevelMixin:
    drawn: alt.TopLevelMixin = (
        alt.Chart(alt.Data(values=table.to_dicts()))
        .mark_rule(strokeWidth=4)
        .encode(x=alt.X("low:Q", title="mean AUROC").scale(zero=False), x2="high:Q", y=alt.Y("strategy:N", title=None))
        .properties(width="container")
    )
    return drawn
