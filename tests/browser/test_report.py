"""The reports in a browser without a network: of a real study of digits, and of tracked runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt
import polars as pl
import pytest

from outfield.reports import page as report
from outfield.reports import trajectory_page as trajectory
from outfield.reports.displays.base import Display, Figure
from outfield.reports.html import cell_texts, display_or_reason, render
from outfield.reports.results import Results
from tests.browser.pages import Visit, screenshots, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KINDS = ("digits", "tracked")


@pytest.fixture(scope="module")
def reports(digits: Path, tracked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of both reports."""
    folder = tmp_path_factory.mktemp("reports")
    written = {
        "digits": report.write(digits, folder / "digits.html", command="outfield run digits"),
        "tracked": trajectory.write(tracked, folder / "tracked.html"),
    }
    return {name: path.as_uri() for name, path in written.items()}


@pytest.fixture
def offline(browser: Browser) -> Iterator[Visit]:
    """Pages of a browser that has no network; at the end they must have asked nobody, and have had no error."""
    made = Visit(browser, offline=True, accept_downloads=True)
    yield made
    made.context.close()
    assert not made.errors, made.errors
    assert made.hosts == {""}, made.hosts


def drawn(visit: Visit, address: str) -> Page:
    page = visit.page(address)
    page.wait_for_selector("html[data-drawn]")
    return page


@pytest.fixture(scope="module")
def displays(digits: Path) -> dict[str, Display]:
    """The displays of the report, made apart from it."""
    results = Results.of(digits)
    made = [display_or_reason(build, results) for builds in report.SECTIONS.values() for build in builds]
    return {each.code: each for each in made if not each.missing}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_opens_offline_at_every_width_and_can_be_used_by_everyone(
    kind: str, offline: Visit, reports: dict[str, str]
) -> None:
    page = drawn(offline, reports[kind])
    assert page.locator(".vega").count() == page.locator(".vega svg.marks").count() > 3
    assert violations(page) == []
    screenshots(page, f"report-{kind}")


def test_every_download_holds_the_rows_of_its_display(
    offline: Visit, reports: dict[str, str], displays: dict[str, Display]
) -> None:
    page = drawn(offline, reports["digits"])
    page.evaluate("() => { for (const each of document.querySelectorAll('details')) each.open = true; }")
    for code, display in displays.items():
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Download {code}.csv", exact=True).click()
        text = waiting.value.path().read_text()
        assert next(csv.reader(io.StringIO(text))) == display.table.columns
        assert text.strip() == render(display).csv.strip()


def test_a_table_is_sorted_and_filtered(offline: Visit, reports: dict[str, str], displays: dict[str, Display]) -> None:
    page = drawn(offline, reports["digits"])
    article = page.locator("article#heat")
    table = displays["heat"].table
    article.locator("summary").click()
    article.get_by_role("searchbox").fill("mixup")
    rows = article.locator("tbody tr")
    assert rows.count() == table.filter(pl.col("strategy") == "mixup").height == 31
    place = list(displays["heat"].headings()).index("value")
    heading = article.locator("thead th").nth(place)
    heading.locator("button").click()
    values = [float(text) for text in article.locator("tbody").evaluate(
        "(body, at) => [...body.rows].map((row) => row.cells[at].textContent)", place)]  # fmt: skip
    assert heading.get_attribute("aria-sort") == "descending" and values == sorted(values, reverse=True)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert float(article.locator("tbody tr").first.locator("td, th").nth(place).inner_text()) == min(values)


EVIL = "a </script> <!-- name"


@pytest.fixture
def own(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Display]:
    """A report of one display with a long table and two figures."""
    names = [EVIL, "=1+1", "'@x", *(f"name {number}" for number in range(97))]
    table = pl.DataFrame({"name": names, "p": [1.2e-9] + [0.25] * 99, "auroc": [1.0] + [0.5] * 99, "n": range(100)})
    chart = alt.Chart(alt.Data(values=[{"x": 1}, {"x": 2}])).mark_point().encode(x="x:Q")
    display = Display("own", "Own", "A caption.", table, (Figure(chart), Figure(chart)))
    monkeypatch.setattr(report, "sections", lambda: {"Own": (lambda _: display,)})
    return report.write(digits, tmp_path / "own.html"), display


def test_a_long_table_reads_like_a_short_one(offline: Visit, own: tuple[Path, Display]) -> None:
    path, display = own
    page = drawn(offline, path.as_uri())
    page.locator("article#own summary").click()
    rows = page.locator("article#own tbody").evaluate(
        "(body) => [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    wanted = [cell_texts(display.table[name]) for name in display.table.columns]
    assert rows == [list(row) for row in zip(*wanted, strict=True)]
    assert rows[0] == [EVIL, "1.2e-09", "1.000", "0"]


def test_a_download_has_names_as_they_are(offline: Visit, own: tuple[Path, Display]) -> None:
    page = drawn(offline, own[0].as_uri())
    page.locator("article#own summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download own.csv", exact=True).click()
    found = pl.read_csv(waiting.value.path())["name"]
    assert found[:4].to_list() == [EVIL, "'=1+1", "''@x", "name 0"]


def test_a_chart_that_cannot_be_drawn_leaves_the_others(offline: Visit, own: tuple[Path, Display]) -> None:
    path, _ = own
    path.write_text(path.read_text().replace('{"data":{"values"', '{"data":{NaN', 1))
    charts = drawn(offline, path.as_uri()).locator(".vega")
    assert charts.count() == 2 and "could not be drawn" in charts.nth(0).inner_text()
    assert charts.nth(1).locator("svg.marks").count() == 1
