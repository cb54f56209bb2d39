from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.charts import cells, strip
from outfield.reports.results import Results
from outfield.stats import spearman

LEAST = 5
"""Strategies from which on a correlation is asked for."""
METRIC = "linear_separability"


@dataclass(frozen=True)
class SeparabilityAndDetection(Analysis):
    """Whether an OOD set that a linear function of a model's features cannot tell is one that detectors miss [1].

    A study gives the separability with ``separability: true``. For every OOD set and detector: Spearman's rho of
    separability and AUROC over strategies, seeds averaged, with Bonett and Wright's interval; of one strategy over its
    seeds.

    References
    ----------
    [1] Miyai, Yu, Irie, Aizawa. Can Pre-trained Networks Detect Familiar Out-of-Distribution Data? 2023.
    """

    title: ClassVar[str] = "Linear separability and detection"
    question: ClassVar[str] = "Do detectors miss the OOD sets that the features do not separate?"
    needs: ClassVar[frozenset[str]] = frozenset({"linear_separability", "auroc"})

    def of(self, results: Results) -> Result:
        separability = results.metric(METRIC, "ood").group_by("model", "ood").agg(separability=pl.col("value").mean())
        joined = results.auroc.join(separability, on=["model", "ood"]).drop_nulls(["value", "separability"])
        if joined.is_empty():
            raise UserError(
                "Expected the linear separability and an AUROC of the same sets, but there are none. "
                "Run the study with `separability: true` and detectors."
            )
        unit = "strategy" if joined["strategy"].n_unique() > 1 else "model"
        means = joined.group_by(unit, "ood", "detector").agg(pl.col("value", "separability").mean())
        table = pl.DataFrame(list(_rows(means.rename({unit: "unit"}))), infer_schema_length=None)
        said = (_answer(table), _least_separable(joined), _drawn(joined[unit].n_unique(), unit))
        return Result(table, said, strip(table, "Spearman's rho", (-1, 1), 0))


def _rows(units: pl.DataFrame) -> Iterator[dict[str, object]]:
    """Of each set and detector: mean AUROC and separability, and their correlation over units."""
    ordered = units.sort("ood", "detector", "unit")
    for (ood, detector), some in ordered.group_by("ood", "detector", maintain_order=True):
        means: dict[str, object] = {"ood": ood, "detector": detector, "auroc": some["value"].mean()}
        means |= {"separability": some["separability"].mean()}
        varied = some["value"].n_unique() > 1 and some["separability"].n_unique() > 1
        if some.height >= LEAST and varied:
            found: dict[str, object] = {
                **cells(f"{ood}, {detector}", spearman(some["separability"], some["value"]).estimate)
            }
        else:
            found = {"name": f"{ood}, {detector}", "value": None, "low": None, "high": None, "n": some.height}
        yield found | means


def _answer(table: pl.DataFrame) -> str:
    known = table.drop_nulls("value")
    if known.is_empty():
        return f"Whether AUROC rises with separability is not to be said of fewer than {LEAST} strategies."
    above, below = known.filter(pl.col("low") > 0).height, known.filter(pl.col("high") < 0).height
    return (
        f"AUROC rises with separability, its interval above 0, in {above} of {known.height} pairs of set "
        f"and detector, and falls in {below}."
    )


def _least_separable(joined: pl.DataFrame) -> str:
    means = joined.group_by("strategy", "ood").agg(pl.col("separability").mean())
    means = means.sort("separability", "strategy", "ood")
    least = means.filter(pl.col("separability") <= means["separability"][0] + 1e-12)
    named = with_and([f"{ood} under {strategy}" for strategy, ood in least.select("strategy", "ood").iter_rows()])
    return f"The features separate {named} least, {means['separability'][0]:.3f}; 0.5 is not at all."


def _drawn(count: int, unit: str) -> str:
    units = f"{count} strategies, seeds averaged" if unit == "strategy" else f"{count} models of one strategy"
    if count < LEAST:
        return ""
    return (
        f"Spearman's rho over {units}; 95% intervals (Bonett-Wright), of one pair each: of many pairs about one in "
        "forty lies above 0 by chance."
    )
