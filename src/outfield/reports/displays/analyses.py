"""Analyses as displays: found by name, run once for each study, and told from each other's failures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from outfield import registry
from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.base import Display, Figure
from outfield.reports.findings.base import Finding
from outfield.reports.results import Results, in_order

Build = Callable[[Results], Display]
SHORT = 12
"""Rows up to which a table without a picture is open."""
FURTHER = "Further analyses"
"""The section of the analyses that stand in no section of their own."""
ORDER = (
    *("tied_detectors", "detector_cost", "shared_failures", "tied_models", "worst_group", "leaderboard"),
    *("uncertainty_far_out", "constant_under_shift", "gain_over_msp", "model_scope", "right_and_wrong"),
    *("unit_tests_failed", "fpr_by_ood_class", "id_and_ood_pattern", "accuracy_on_the_curve", "typical_items"),
    *("item_response", "choice_by_architecture", "separability_and_detection", "coverage_of_models", "critical_bands"),
)
"""The further analyses as a reader asks: what to choose, what to mistrust, then what explains it; others follow."""


def answer(name: str, results: Results) -> Result:
    """What an analysis makes of these rows; worked out once.

    Raises
    ------
    UserError
        The rows lack what it needs, or the analysis of another package failed.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"model": ["net"], "metric": ["accuracy"], "value": [0.9], "set_kind": ["id"]})
    >>> answer("one_family_out", Results.of(rows))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected rows of AUROC, but these have none. Run the study with detectors and OOD sets.
    """
    if name not in results.answers:
        results.answers[name] = _run(name, results)
    found: Result = results.answers[name]
    return found


def display(name: str) -> Build:
    """What makes the display of an analysis, with the name and the question by which pages list it."""

    def build(results: Results) -> Display:
        return _display(name, results)

    build.__name__, build.__doc__ = f"analysis_{name}", _question(name)
    return build


def others(shown: Collection[str]) -> tuple[Build, ...]:
    """The displays of all analyses that there are but these, in the order of a reader's questions."""
    names = in_order([name for name in registry.names("analyses") if name not in shown], ORDER)
    return tuple(map(display, names))


def findings(results: Results) -> Iterator[Finding]:
    """The findings of every analysis that the rows allow."""
    for name in registry.names("analyses"):
        try:
            yield from answer(name, results).findings()
        except UserError:
            continue  # the display of it says why


def _display(name: str, results: Results) -> Display:
    found = answer(name, results)
    kind = registry.find("analyses", name)
    chart = found.plot()
    return Display(
        f"analysis-{name.replace('_', '-')}",
        kind.title.replace("{performance}", results.performance_label),
        " ".join(found.sentences()),
        found.frame(),
        (Figure(chart),) if chart is not None else (),
        open=chart is None and found.frame().height <= SHORT,
        legend=kind.legend,
        lead=found.sentences()[0],
    )


def _question(name: str) -> str:
    try:
        return str(registry.find("analyses", name).question)
    except Exception:
        if _ours(name):
            raise
        return f"{name}, which cannot be loaded"


def _run(name: str, results: Results) -> Result:
    try:
        analysis: Analysis = registry.create("analyses", name, **results.questions.get(name, {}))
        check_needs(analysis.needs, results)
        return _whole(analysis.of(results))
    except UserError:
        raise
    except Exception as error:
        if _ours(name):
            raise
        place = registry.place_of("analyses", name)
        raise UserError(
            f"The analysis {name!r} of {place} failed: {type(error).__name__}: {error}. Tell its authors, or uninstall "
            "their package."
        ) from error


def _ours(name: str) -> bool:
    return registry.place_of("analyses", name).startswith("outfield.")


def _whole(found: Any) -> Result:
    if not isinstance(found, Result):
        raise TypeError(f"expected of() to return a Result, but got {type(found).__name__}")
    return found


def check_needs(needs: Collection[str], results: Results) -> None:
    """``UserError`` for what the rows do not hold: a column without a value, a metric without rows."""
    for need in sorted(needs):
        if need in results.rows.columns:
            if results.rows[need].null_count() == results.rows.height:
                raise UserError(f"Expected rows with a {need.replace('_', ' ')}, but none has one. {_hint(need)}")
        elif _metric(need, results) not in results.metrics:
            raise UserError(f"Expected rows of {_label(need, results)}, but these have none. {_hint(need)}")


HINTS = {
    "auroc": "Run the study with detectors and OOD sets.",
    "detector": "Add `detectors:` to the study's file.",
    "group": "Say which column of the data names the groups: `group: COLUMN`.",
    "linear_separability": "Add `separability: true` to the study's file.",
    "part": "Add an OOD set of several parts to the study: unit tests, or one that names its classes.",
    "shift": "Add `shifts:` to the study's file.",
    "severity": "Add `shifts:` to the study's file.",
}
"""What to do about something that the rows lack."""


def _hint(need: str) -> str:
    return HINTS.get(need, "Run the study with what gives them, or add them to the table.")


def _metric(need: str, results: Results) -> str:
    return results.performance if need == "performance" else need


def _label(need: str, results: Results) -> str:
    metric = _metric(need, results)
    known = metric in registry.names("metrics")
    return str(registry.find("metrics", metric).label) if known else metric.replace("_", " ")
