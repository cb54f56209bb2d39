"""Analyses found by name: what rows lack is said, and what fails in one takes nothing else with it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import polars as pl
import pytest

from outfield import registry
from outfield.errors import UserError
from outfield.reports import page
from outfield.reports.analyses.base import Analysis, Finding, Result
from outfield.reports.displays import analyses
from outfield.reports.findings import told
from outfield.reports.html import display_or_reason
from outfield.reports.results import Results
from outfield.testing import simulated


@dataclass(frozen=True)
class Broken(Analysis):
    """One that has a fault."""

    title: ClassVar[str] = "{performance} and a fault"
    question: ClassVar[str] = "Does it fail?"
    needs: ClassVar[frozenset[str]] = frozenset()

    def of(self, results: Results) -> Result:
        raise ZeroDivisionError("by nothing")


@dataclass(frozen=True)
class OfSeverities(Analysis):
    """One that needs shifts."""

    title: ClassVar[str] = "{performance} and severities"
    question: ClassVar[str] = "How far?"
    needs: ClassVar[frozenset[str]] = frozenset({"severity"})

    def of(self, results: Results) -> Result:
        noted = Finding("XX001", "warning", "It is far.", "Far out", "Come *back*.")
        return Result(results.models.select("model"), ("Far.", ""), noted=(noted,))


ROWS = pl.DataFrame({"model": ["net"], "metric": ["accuracy"], "value": [0.9], "set_kind": ["id"]})
SHIFTED = pl.concat(
    [ROWS, ROWS.with_columns(set_kind=pl.lit("shift"), shift=pl.lit("blur"), severity=pl.lit(3, pl.Int64))],
    how="diagonal",
)


@pytest.fixture(autouse=True)
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both as if another package brought them, and a third whose module is not there."""
    places = {name: f"{__name__}:{name}" for name in ("Broken", "OfSeverities")} | {"Gone": "no_such_package:Gone"}
    points = {name.lower(): EntryPoint(name.lower(), at, "outfield.analyses") for name, at in places.items()}
    known = registry._foreign
    monkeypatch.setattr(registry, "_foreign", lambda kind: points if kind == "analyses" else known(kind))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken", r"The analysis 'broken' of .*:Broken failed: ZeroDivisionError: by nothing. Tell its authors"),
        ("gone", r"The analysis 'gone' of no_such_package:Gone failed: ModuleNotFoundError"),
        ("ofseverities", r"Expected rows with a severity, but none has one. Add `shifts:` to the study's file."),
    ],
)
def test_what_fails_or_is_lacking_is_said_in_its_place(name: str, says: str) -> None:
    results = Results.of(ROWS)
    with pytest.raises(UserError, match=says):
        analyses.answer(name, results)
    shown = display_or_reason(analyses.display(name), results)
    assert shown.code == f"analysis-{name}" and shown.missing.startswith(says[:10])


def test_the_report_stands_with_a_broken_analysis_in_it() -> None:
    text = page.html(Results.of(SHIFTED))
    section = text.partition(">Further analyses</h2>")[2].partition("</section>")[0]
    assert "ZeroDivisionError" in section and "Accuracy and severities" in section and ">Far.<" in section
    findings = text.partition('id="findings"')[2].partition("</section>")[0]
    assert "Far out" in findings and "Come <em>back</em>." in findings


def test_an_analysis_runs_once_for_all_who_show_it() -> None:
    results = Results.of(SHIFTED)
    assert analyses.answer("ofseverities", results) is analyses.answer("ofseverities", results)
    assert [one.code for one in analyses.findings(results)] == ["XX001"]


def test_a_code_of_another_package_has_a_heading() -> None:
    with pytest.raises(UserError, match="Expected a heading for the finding XX001"):
        Finding("XX001", "info", "Something.")
    (found,) = told([Finding("XX001", "info", "Something.", "A heading")])
    assert (found.title, found.about) == ("A heading", "")


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    own = registry.find("analyses", "one_family_out")
    monkeypatch.setattr(own, "of", Broken.of)
    monkeypatch.setattr(own, "needs", frozenset())
    with pytest.raises(ZeroDivisionError):
        analyses.answer("one_family_out", Results.of(ROWS))


def test_rows_without_a_number_are_left_out_and_never_printed() -> None:
    rows = simulated.rows(seeds=2, detectors=("msp", "energy", "mds", "knn"))
    every = pl.int_range(pl.len()) % 7 == 0
    holes = rows.with_columns(value=pl.when(every).then(float("nan")).otherwise(pl.col("value")))
    results = Results.of(holes, simulated.items(rows))
    for name in ("leaderboard", "right_and_wrong", "score_and_error", "fpr_by_ood_class", "model_scope"):
        assert "nan" not in " ".join(analyses.answer(name, results).sentences()), name


def test_the_answer_stands_above_the_picture_and_what_cannot_be_told_in_one_list() -> None:
    text = page.html(Results.of(simulated.rows(seeds=1, detectors=("msp", "knn"), strategies={"a": "baseline"})))
    assert '<p class="lead">' in text
    section = text.split(f">{analyses.FURTHER}</h2>")[1].split("</section>")[0]
    assert "questions that these rows do not answer, and why" in section and 'class="missing"' not in section
    assert section.index('id="analysis-detector-cost"') < section.index('id="analysis-leaderboard"')
