from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.headline import number
from outfield.reports.results import Results
from outfield.stats.differences import Difference, paired_difference

METRIC = "distance_to_constant"


@dataclass(frozen=True)
class ConstantUnderShift(Analysis):
    """Whether predictions fall back to the best constant answer as a shift grows [1].

    The distance is that of ``distance_to_constant``, averaged over seeds. A shift's severest set is compared with the
    ID test set, paired over strategies. Severity 0 is the ID test set.

    References
    ----------
    [1] Kang et al. Deep Neural Networks Tend To Extrapolate Predictably. ICLR 2024.
    """

    title: ClassVar[str] = "Do predictions fall back to the average answer?"
    question: ClassVar[str] = "Does the model say less the further inputs are from its data, or go on being sure?"
    needs: ClassVar[frozenset[str]] = frozenset({METRIC, "severity"})

    def of(self, results: Results) -> Result:
        distances = _distances(results)
        found = {
            str(shift): _moved(some) for (shift,), some in sorted(distances.partition_by("shift", as_dict=True).items())
        }
        table = distances.group_by("shift", "severity").agg(
            distance=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max(), strategies=pl.len()
        )
        said = (_answer(found), *_each(found), _drawn(distances["strategy"].n_unique()))
        return Result(table.sort("shift", "severity"), said, _chart(table))


def _distances(results: Results) -> pl.DataFrame:
    """Distance of each strategy under each shift and severity, seeds averaged; the ID test set has severity 0."""
    by = ("strategy", "shift", "severity")
    shifted = results.metric(METRIC, "shift").drop_nulls(["shift", "severity"])
    known = results.metric(METRIC, "id").group_by("strategy").agg(pl.col("value").mean())
    if shifted.is_empty() or known.is_empty():
        raise UserError(
            "Expected the predictions' distance to the constant answer on the ID test set and under shift, but one of "
            "these is missing. Add `shifts:` to the study's file and run it again."
        )
    moved = shifted.group_by(by).agg(pl.col("value").mean())
    start = moved.select("strategy", "shift").unique().join(known, on="strategy")
    start = start.with_columns(severity=pl.lit(0, moved.schema["severity"])).select(*by, "value")
    return pl.concat([start, moved.join(known.select("strategy"), on="strategy", how="semi")]).sort(by)


def _moved(some: pl.DataFrame) -> Difference | float:
    """The severest set's distance less that of the ID test set, over strategies; of one strategy the bare number."""
    top = some["severity"].max()
    wide = some.filter(pl.col("severity").is_in([0, top])).pivot("severity", index="strategy", values="value")
    first, last = (wide.drop_nulls()[str(at)].to_list() for at in (0, top))
    return paired_difference(first, last, measures=True) if len(first) > 1 else last[0] - first[0]


def _side(one: Difference | float) -> int:
    if not isinstance(one, Difference):
        return 0
    return int(one.estimate.low > 0) - int(one.estimate.high < 0)


def _answer(found: dict[str, Difference | float]) -> str:
    fell = [name for name, one in found.items() if _side(one) < 0]
    total = len(found)
    if not fell:
        return f"Under none of {total} shifts do these data show that predictions fall back to the average answer."
    return (
        f"Under {len(fell)} of {total} shifts predictions fall back towards the average answer, as a model should that "
        f"no longer recognises its input: {with_and([name.replace('_', ' ') for name in fell])}."
    )


def _each(found: dict[str, Difference | float]) -> tuple[str, ...]:
    rose = [name.replace("_", " ") for name, one in found.items() if _side(one) > 0]
    unsafe = (
        f"Under {with_and(rose)} they move away from it: the model is surer there than on ID inputs." if rose else ""
    )
    known = ", ".join(
        f"{name.replace('_', ' ')} {number(one.estimate) if isinstance(one, Difference) else f'{one:.2f}'}"
        for name, one in found.items()
    )
    return unsafe, f"Change of the distance from the ID test set to the severest set, in nats: {known}."


def _drawn(strategies: int) -> str:
    units = f"Means over {strategies} strategies, with the range of these" if strategies > 1 else "One strategy"
    return (
        f"{units}; severity 0 is the ID test set. At a distance of 0 a model says the share of each label, whatever "
        "its input. Intervals are those of paired differences over strategies, of each shift alone."
    )


def _chart(table: pl.DataFrame) -> alt.TopLevelMixin:
    names = table["shift"].unique().sort().to_list()
    colour = alt.Color(
        "shift:N", scale=alt.Scale(domain=names), legend=alt.Legend(title=None, orient="bottom", columns=3)
    )
    across = alt.X("severity:Q", title="severity (0 is ID)", axis=alt.Axis(tickMinStep=1, format="d"))
    title = "distance to the constant answer (nats)"
    up = alt.Y("distance:Q", title=title, scale=alt.Scale(zero=True))
    tips = [style.name("shift", "shift"), style.tip("severity", "severity", "d"), style.tip("distance", "distance")]
    tips += [style.tip("low", "lowest strategy"), style.tip("high", "highest strategy")]
    base = alt.Chart(style.rows(table.sort("shift", "severity")))
    line = base.mark_line().encode(x=across, y=up, color=colour)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(x=across, y=up, color=colour, tooltip=tips)
    return alt.layer(line, points).properties(width="container", height=300)
