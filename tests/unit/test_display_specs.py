"""Every display's Vega-Lite specification equals its snapshot, and every number shown is the number stored.

After a change that is meant: ``RENEW_SNAPSHOTS=1 python -m pytest -n 0 tests/unit/test_display_specs.py``; then read
the diff.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from outfield.reports import analysis_page, comparison_page, page
from outfield.reports.analysis import analyse
from outfield.reports.comparison import Comparison, compare
from outfield.reports.displays.base import Display
from outfield.reports.html import LONG, cell_texts, render
from outfield.reports.results import Results
from outfield.testing import simulated

TESTS = Path(__file__).parents[1]
SNAPSHOTS = TESTS / "snapshots" / "display_specs.json"

OF_A_STUDY = {f"study/{build.__name__}": build for builds in page.SECTIONS.values() for build in builds}
OF_TWO = {f"two/{build.__name__}": build for builds in comparison_page.SECTIONS.values() for build in builds}
TABLES = {
    f"analysis/{code}": code for code in ("relation", "families", "line", "shape", "variance", "ranks", "partial")
}
NAMES = (*OF_A_STUDY, *OF_TWO, *TABLES)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    detectors = ("msp", "energy", "mds", "knn", "gradnorm", "gram")
    rows = simulated.rows(seeds=2, detectors=detectors, shifts=("blur", "rotation"))
    rows = simulated.estimates(rows, names=("average_confidence", "difference_of_confidences"))
    return Results.of(simulated.folder(tmp_path_factory.mktemp("study"), rows))


@pytest.fixture(scope="module")
def two(results: Results) -> Comparison:
    second = results.rows.filter(pl.col("strategy") != "MixUp").with_columns(
        pl.when(pl.col("detector") == "knn").then(pl.col("value") * 0.98).otherwise("value").alias("value"),
        study=pl.lit("again"),
    )
    return compare(results.rows, second)


@pytest.fixture(scope="module")
def analysed() -> dict[str, Display]:
    sections = analysis_page.displays(analyse(example="resnet50-48"))
    return {display.code: display for displays in sections.values() for display in displays}


@pytest.fixture
def display(request: pytest.FixtureRequest, name: str) -> Display:
    if name in TABLES:
        return request.getfixturevalue("analysed")[TABLES[name]]
    build: Callable[[Any], Display] = {**OF_A_STUDY, **OF_TWO}[name]
    return build(request.getfixturevalue("results" if name in OF_A_STUDY else "two"))


def bare(part: Any) -> Any:
    """A specification without its data (the names of columns stay) and with numbers to three digits."""
    if isinstance(part, dict):
        return {key: _columns(value) if key == "data" else bare(value) for key, value in part.items() if key[0] != "$"}
    if isinstance(part, list):
        return [bare(each) for each in part]
    return float(f"{part:.3g}") if isinstance(part, float) else part


def _columns(data: dict[str, Any]) -> list[str]:
    return sorted({key for row in data.get("values", []) for key in row})


@pytest.fixture(scope="module")
def snapshots() -> Any:
    found = json.loads(SNAPSHOTS.read_text(encoding="utf-8")) if SNAPSHOTS.exists() else {}
    yield found
    if os.environ.get("RENEW_SNAPSHOTS"):
        kept = {name: found[name] for name in NAMES if name in found}
        SNAPSHOTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_specification_is_that_of_the_snapshot(name: str, display: Display, snapshots: dict[str, Any]) -> None:
    figures = [bare(figure.spec()) for figure in display.figures]
    found = {"code": display.code, "title": display.title, "columns": display.headings(), "figures": figures}
    found = json.loads(json.dumps(found))
    if os.environ.get("RENEW_SNAPSHOTS"):
        snapshots[name] = found
    assert snapshots.get(name) == found, f"{name}: renew it if it is meant (RENEW_SNAPSHOTS=1), and read the diff"


@pytest.mark.skipif("RENEW_SNAPSHOTS" in os.environ, reason="snapshots are being written")
def test_no_snapshot_is_of_a_display_that_is_gone() -> None:
    assert set(json.loads(SNAPSHOTS.read_text(encoding="utf-8"))) == set(NAMES)


class Cells(HTMLParser):
    """The body of the table of one display, row by row."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__()
        self.code, self.inside, self.body, self.rows = code, False, False, []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.inside = dict(attrs).get("id") == f"table-{self.code}"
        self.body = (self.body or tag == "tbody") and tag != "thead"
        if self.inside and self.body and tag == "tr":
            self.rows.append([])
        if self.inside and self.body and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "table"
        self.body = self.body and tag != "tbody"

    def handle_data(self, data: str) -> None:
        if self.inside and self.body and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def pages(results: Results, two: Comparison) -> dict[str, str]:
    return {"study": page.html(results), "two": comparison_page.html(two)}


@pytest.mark.parametrize("name", [*OF_A_STUDY, *OF_TWO])
def test_numbers_shown_are_the_numbers_of_the_table(name: str, display: Display, pages: dict[str, str]) -> None:
    rows = Cells(pages[name.partition("/")[0]], display.code).rows
    table = display.table.select(list(display.headings()))
    if table.height > LONG:
        assert rows == []
    else:
        assert rows == [list(row) for row in zip(*(cell_texts(table[each]) for each in table.columns), strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_the_download_holds_the_table(name: str, display: Display) -> None:
    read = pl.read_csv(StringIO(render(display).csv), infer_schema_length=None)
    assert read.columns == display.table.columns and read.height == display.table.height
    for column_name, kind in display.table.schema.items():
        if kind.is_float():
            difference = (read[column_name].cast(pl.Float64) - display.table[column_name].fill_nan(None)).abs().max()
            assert difference is None or difference < 1e-6


def test_the_download_keeps_small_numbers_and_leaves_unknown_ones_empty() -> None:
    table = pl.DataFrame({"p": [1.23456789e-9, 0.123456789, 1.0], "low": [1234.56789012, float("nan"), None]})
    text = render(Display("d", "Title", "Caption.", table)).csv
    assert text.splitlines() == ["p,low", "1.23457e-9,1234.56789", "0.123457,", "1.0,"]


def test_cells_of_strategy_and_detector_are_means_of_the_rows(results: Results) -> None:
    table = OF_A_STUDY["study/heat_map"](results).frame()
    row = table.filter(strategy="SupCon", detector="knn").row(0, named=True)
    cell = results.auroc.filter(strategy="SupCon", detector="knn")
    assert (row["value"], row["low"], row["high"]) == pytest.approx([cell[c].mean() for c in ("value", "low", "high")])
    seeds = cell.group_by("model").agg(pl.col("value").mean())["value"]
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((seeds.min(), seeds.max()))
    others = table.filter(strategy="SupCon").sort("value", descending=True)
    assert others["rank"].to_list() == list(range(1, others.height + 1))


def test_densities_are_the_scores_that_were_kept(results: Results) -> None:
    table = OF_A_STUDY["study/score_densities"](results).frame().filter(detector="knn")
    sums = table.group_by("inputs").agg(pl.col("share").sum(), pl.col("count").sum())
    assert sums["share"].to_list() == pytest.approx([1.0] * sums.height)
    categories = results.auroc.select("ood", "ood_category").unique()["ood_category"].value_counts()
    sizes = {kind: 60 * count for kind, count in categories.iter_rows()} | {"ID": 60}
    assert dict(sums.select("inputs", "count").iter_rows()) == sizes
    middle = table.filter(inputs="ID").select(((pl.col("low") + pl.col("high")) / 2 * pl.col("share")).sum()).item()
    far = table.filter(inputs="synthetic").select(((pl.col("low") + pl.col("high")) / 2 * pl.col("share")).sum()).item()
    assert abs(middle) < 0.5 and far > 2
