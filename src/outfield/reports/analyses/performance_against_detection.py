from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Legend
from outfield.reports.displays.charts import scatter
from outfield.reports.headline import number
from outfield.reports.results import Results
from outfield.store.performance import Performance
from outfield.types import Estimate


@dataclass(frozen=True)
class PerformanceAgainstDetection(Analysis):
    """Performance against mean AUROC: a small point a model, a large one a strategy with its seeds' spread.

    Spearman's rho over strategies, seeds averaged, with Bonett and Wright's interval [1]. It is said to hold only where
    no family of strategies turns it (``one_family_out``).

    References
    ----------
    [1] Bonett, Wright. Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations.
    Psychometrika 2000.
    """

    title: ClassVar[str] = "{performance} against OOD detection"
    question: ClassVar[str] = "Do the better models also detect OOD inputs better?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance", "auroc"})
    legend: ClassVar[Legend] = "family"

    def of(self, results: Results) -> Result:
        name = results.performance
        table = results.models.drop("shifted")
        return Result(table, (_answer(results), _drawn(results)), scatter(results, name, "auroc"))


def _answer(results: Results) -> str:
    found, measure = results.correlation.whole, results.measure
    units = "strategies" if found.level == "strategy" else "models"
    return (
        f"{_verdict(found.estimate, measure, results.turned_by)}: over {found.estimate.n} {units}, Spearman's rho of "
        f"{measure.word} with mean AUROC is {number(found.estimate)}."
    )


def _verdict(rho: Estimate, measure: Performance, turned: Sequence[str] = ()) -> str:
    """What holds for all strategies, and without any one family of them."""
    models = measure.better("models")
    if turned or rho.low <= 0 <= rho.high:
        return f"Whether the {models} also detect OOD inputs better, these data do not settle"
    better = measure.oriented(rho.value) > 0
    return f"Here the {models} {'also ' * better}detect OOD inputs {'better' if better else 'worse'}"


def _drawn(results: Results) -> str:
    return (
        f"Mean AUROC over {len(results.detectors)} detectors and {results.auroc['ood'].n_unique()} OOD sets, each "
        f"counting once, against {results.measure.word}. Small: a model; large: a strategy's mean, with the range of "
        "its seeds. 95% interval (Bonett-Wright)."
    )
