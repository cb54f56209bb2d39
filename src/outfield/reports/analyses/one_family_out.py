from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.charts import cells, strip
from outfield.reports.results import Results
from outfield.types import Estimate


@dataclass(frozen=True)
class OneFamilyOut(Analysis):
    """Performance against mean AUROC again, each time without one family: a family that carries it is seen.

    Spearman's rho over strategies, seeds averaged, with Bonett and Wright's interval.
    """

    title: ClassVar[str] = "The same without each family"
    question: ClassVar[str] = "Does one family of strategies carry the relation of performance and detection?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance", "auroc"})

    def of(self, results: Results) -> Result:
        found = results.correlation
        named = {"all strategies": found.whole, **{f"without {k}": v for k, v in found.without.items()}}
        table = pl.DataFrame([cells(label, one.estimate) for label, one in named.items()])
        return Result(table, (_answer(results), _drawn(results)), strip(table, "Spearman's rho", (-1, 1), 0))


def _drawn(results: Results) -> str:
    return f"Spearman's rho of {results.measure.word} with mean AUROC over n strategies, 95% intervals (Bonett-Wright)."


def _answer(results: Results) -> str:
    """What leaving out one family does to the correlation, in plain sentences; nothing where no family can be."""
    found, turned = results.correlation, results.turned_by
    lone = f"Without {_or(found.skipped)} too few strategies are left to say more." if found.skipped else ""
    if not found.without:
        return lone
    values = [one.estimate.value for one in found.without.values()]
    moved = f"Leaving out one family leaves rho between {min(values):.2f} and {max(values):.2f}"
    if not turned:
        same = f"{moved}, and its interval {_lies(found.whole.estimate)} each time."
        return " ".join(filter(None, (same, lone)))
    sides: dict[str, list[str]] = {}
    for family in turned:
        sides.setdefault(_lies(found.without[family].estimate), []).append(family)
    each = (f"Without {_or(some)} its interval {side}." for side, some in sides.items())
    count = f"So {len(turned)} of {len(found.without)} families can turn the verdict."
    return " ".join(filter(None, (f"{moved}.", *each, count, lone)))


def _lies(one: Estimate) -> str:
    return "lies above 0" if one.low > 0 else "lies below 0" if one.high < 0 else "includes 0"


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
