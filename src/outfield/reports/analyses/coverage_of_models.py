from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Legend
from outfield.reports.headline import number
from outfield.reports.results import Results
from outfield.stats.relate import leave_one_family_out
from outfield.types import Estimate

COVERAGE = "activation_coverage"


@dataclass(frozen=True)
class CoverageOfModels(Analysis):
    """NAC-ME: do models whose ID inputs reach more states of their neurons answer better under shift [1]?

    Spearman's rho over strategies, seeds averaged, of the coverage on the ID test set (``features.coverage``) with the
    mean performance under shift, with Bonett and Wright's interval.

    References
    ----------
    [1] Liu, Tian, Li, Ma, Wang. Neuron Activation Coverage: Rethinking Out-of-distribution Detection and
        Generalization. ICLR 2024.
    """

    title: ClassVar[str] = "Neuron coverage against performance under shift"
    question: ClassVar[str] = "Does the coverage of neurons on ID inputs say which models hold up under shift?"
    needs: ClassVar[frozenset[str]] = frozenset({COVERAGE, "performance", "shift"})
    legend: ClassVar[Legend] = "family"

    def of(self, results: Results) -> Result:
        coverage = results.metric(COVERAGE, "id").group_by("model").agg(pl.col("value").mean().alias("coverage"))
        models = results.models.join(coverage, on="model", maintain_order="left").drop_nulls(["coverage", "shifted"])
        table = models.select("model", "strategy", "family", "seed", "coverage", "shifted")
        if table["strategy"].n_unique() < _FEWEST:
            raise UserError(
                f"Expected {_FEWEST} strategies or more with coverage and performance under shift, but got "
                f"{table['strategy'].n_unique()}. Add models."
            )
        groups, families = table["strategy"].to_list(), table["family"].to_list()
        found = leave_one_family_out(table["coverage"], table["shifted"], families, groups=groups)
        return Result(table, (_answer(found.whole.estimate, results), _drawn(results)), _chart(table, results))


_FEWEST = 4
"""Strategies of which a rank correlation has an interval."""


def _answer(rho: Estimate, results: Results) -> str:
    word = results.measure.word
    oriented = results.measure.oriented(rho.value)
    if rho.low <= 0 <= rho.high:
        said = "Whether models with more coverage hold up better under shift, these data do not settle"
    else:
        said = f"Models with more coverage hold up {'better' if oriented > 0 else 'worse'} under shift"
    return f"{said}: over {rho.n} strategies, Spearman's rho of coverage with {word} under shift is {number(rho)}."


def _drawn(results: Results) -> str:
    return (
        "Coverage: the share of the states of the penultimate neurons that ID test inputs reach, a state counting in "
        f"full from a hundredth of the inputs. Each point is a model; {results.measure.average} under shift upwards."
    )


def _chart(table: pl.DataFrame, results: Results) -> alt.TopLevelMixin:
    mark = style.family(results.families)
    points = alt.Chart(style.rows(table)).mark_point(filled=True, size=60)
    chart: alt.TopLevelMixin = points.encode(
        x=alt.X("coverage:Q", title="Coverage of neurons", scale=alt.Scale(zero=False)),
        y=style.up("shifted", f"{results.measure.average} under shift"),
        tooltip=[style.name("model", "model"), style.tip("coverage", "coverage"), style.tip("shifted", "under shift")],
        **mark,
    ).properties(width="container", height=320)
    return chart
