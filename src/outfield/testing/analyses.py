"""What every analysis keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, get_args

import altair as alt
import polars as pl

from outfield import registry
from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays.analyses import check_needs
from outfield.reports.displays.base import Display, Figure, Legend
from outfield.reports.results import Results
from outfield.store import schema
from outfield.testing import simulated
from outfield.testing._expect import all_of, comes_back_from_json, expect, is_found_by_its_name


def check_analysis(analysis: Analysis, rows: pl.DataFrame | None = None) -> None:
    """The contract of an analysis.

    Parameters
    ----------
    analysis : Analysis
    rows : frame in the columns of ``outfield.store.schema``, optional
        Rows that it can answer; by default those of ``outfield.testing.simulated``: a study of twelve strategies,
        two seeds each, with four detectors on OOD sets of each category, and covariate shifts.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.reports.analyses.one_family_out import OneFamilyOut
    >>> check_analysis(OneFamilyOut())
    """
    all_of(CHECKS, Case(analysis, usual() if rows is None else rows))


def usual() -> pl.DataFrame:
    """Rows of a study that never ran."""
    return simulated.rows(seeds=2, detectors=("msp", "energy", "mds", "knn"))


@dataclass(frozen=True, eq=False)
class Case:
    """An analysis with rows that it can answer; it is asked once."""

    analysis: Analysis
    rows: pl.DataFrame

    def __repr__(self) -> str:
        return repr(self.analysis)

    def asked(self, rows: pl.DataFrame) -> Result:
        """What it answers from these rows, as a report asks it."""
        results = Results.of(rows, simulated.items(rows))
        check_needs(self.analysis.needs, results)
        return self.analysis.of(results)

    @cached_property
    def found(self) -> Result:
        """What it answers."""
        return self.asked(self.rows)


def declares(case: Case) -> None:
    """It is found by its name, comes back from JSON, has defaults, a title, a question, and needs that are known."""
    analysis = case.analysis
    is_found_by_its_name("analyses", analysis)
    comes_back_from_json("analyses", analysis)
    bare = [one.name for one in fields(analysis) if one.default is MISSING and one.default_factory is MISSING]
    expect(not bare, "a default for every field", f"none for {bare}")
    for said in ("title", "question"):
        text = getattr(analysis, said, None)
        expect(isinstance(text, str) and text.strip(), f"a {said} in words", repr(text))
    expect(analysis.question.endswith("?"), "a question that ends with a question mark", repr(analysis.question))
    expect(analysis.legend in get_args(Legend), f"a legend of {get_args(Legend)}", repr(analysis.legend))
    known = {"performance", *schema.COLUMNS, *registry.names("metrics"), *case.rows["metric"].unique()}
    unknown = sorted(set(analysis.needs) - known)
    expect(not unknown, "needs that are columns of the rows, metrics, or `performance`", f"also {unknown}")


def result(case: Case) -> None:
    """It returns a ``Result``: a table that can be saved, and sentences."""
    expect(isinstance(case.found, Result), "a Result", type(case.found))
    table = case.found.frame()
    expect(isinstance(table, pl.DataFrame) and table.height > 0, "a table with rows", table)
    nested = [name for name, kind in table.schema.items() if kind.is_nested()]
    expect(not nested, "columns that a CSV file can hold", f"nested ones, {nested}")
    sentences = case.found.sentences()
    expect(len(sentences) > 0, "a sentence that answers the question", "none")
    open_ended = [one for one in sentences if not one.rstrip().endswith((".", "!", "?"))]
    expect(not open_ended, "sentences that end with a full stop", open_ended)


def same_again(case: Case) -> None:
    """The same rows give the same table and sentences again, in any order of rows, and stay as they were."""
    before = case.rows.clone()
    for rows in (case.rows, case.rows.sample(fraction=1, shuffle=True, seed=0)):
        again = case.asked(rows)
        alike = _sorted(again.frame()) == _sorted(case.found.frame())
        expect(alike, "the same table from the same rows in any order", again.frame())
    expect(case.rows.equals(before), "the rows as they were", "others")


def picture(case: Case) -> None:
    """Its picture is a Vega-Lite specification that validates, holds its own data, and leaves the title to the page."""
    if (chart := case.found.plot()) is None:
        return
    expect(isinstance(chart, alt.TopLevelMixin), "an Altair chart", type(chart))
    figure = Figure(chart)
    shown = Display("contract", case.analysis.title, "", case.found.frame(), (figure,)).plot()
    spec = shown.to_dict()  # validates
    expect(json.loads(json.dumps(spec)) == spec, "a specification of plain JSON", "another")
    expect("title" not in figure.spec(), "a chart without a title of its own", figure.spec().get("title"))
    outside = [value for key, value in _entries(spec) if key == "url"]
    expect(not outside, "a chart that holds its data", f"data at {outside}")


def findings(case: Case) -> None:
    """Its findings have codes of their own package."""
    ours = type(case.analysis).__module__.startswith("outfield.")
    for one in case.found.findings():
        expect(one.sentence.strip(), f"a sentence of the finding {one.code}", "none")
        taken = one.code.startswith("OF") and not ours
        expect(not taken, "codes that do not begin with OF, which are those of outfield", one.code)


def what_is_missing(case: Case) -> None:
    """Rows that it cannot answer give a ``UserError`` that says so; no other error, on whatever is missing."""
    for about, rows in _reduced(case.rows):
        try:
            found = case.asked(rows)
        except UserError as error:
            expect("Expected" in str(error), f"a message on what was expected, from rows {about}", repr(str(error)))
        except Exception as error:
            way = "name it in `needs`, or raise a UserError"
            raise AssertionError(
                f"Expected an answer or a UserError from rows {about}, but got {type(error).__name__}: {error}; {way}."
            ) from error
        else:
            expect(isinstance(found, Result), f"a Result from rows {about}", type(found))


CHECKS: tuple[Callable[[Case], None], ...] = (
    declares, result, same_again, picture, findings, what_is_missing
)  # fmt: skip


def _reduced(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows that lack something, as those of many a study do."""
    yield "without detectors", rows.filter(pl.col("detector").is_null())
    yield "without shifts", rows.filter(pl.col("set_kind") != "shift")
    yield "without models' own measures", rows.filter(pl.col("detector").is_not_null())
    yield "of one model", rows.filter(pl.col("model") == rows["model"][0])
    for name in ("seed", "family", "strategy"):
        yield f"without a {name}", rows.with_columns(pl.lit(None, rows.schema[name]).alias(name))


def _sorted(table: pl.DataFrame) -> list[str]:
    rounded = table.with_columns(pl.col(pl.Float64, pl.Float32).round_sig_figs(9))
    return sorted(map(repr, rounded.rows()))


def _entries(spec: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, dict):
        for key, value in spec.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(spec, list):
        for one in spec:
            yield from _entries(one)
