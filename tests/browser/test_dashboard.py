"""The dashboard in a browser, on a real study of digits."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest

from outfield.store import query
from tests.browser.pages import Visit, screenshots, served, settle, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEWS = {
    "studies": "",
    "study": "?study=digits",
    "tracked": "?study=tracked",
    "selected": "?study=digits&model=mixup-0&detector=knn&set=letters",
    "rows": "?study=digits&view=rows&metric=auroc",
    "samples": "?study=digits&view=samples&detector=knn",
    "sample": "?study=digits&view=sample&from=letters&sample=3&detector=energy",
    "progress": "?study=digits&view=progress",
}


def state(page: Page) -> dict[str, str]:
    """What the address holds."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def saved(page: Page, link: str) -> list[dict[str, str]]:
    """The rows of the CSV file that a link gives."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name=link).click()
    return list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))


def of_table(page: Page) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the first table of the page."""
    return page.evaluate(  # type: ignore[no-any-return]
        """() => { const table = document.querySelector("main table");
        const texts = (row) => [...row.cells].map((cell) => cell.innerText.trim());
        return [[...table.tHead.rows[0].querySelectorAll("button")].map((each) => each.dataset.column),
                [...table.tBodies[0].rows].map(texts)]; }"""
    )


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_opens_at_every_width_and_can_be_used_by_everyone(view: str, visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/{VIEWS[view]}")
    assert page.locator("h1").count() == 1 and page.locator(".notice.failed").count() == 0
    assert violations(page) == []
    screenshots(page, f"dashboard-{view}")


def test_every_display_is_drawn_when_the_reader_comes_to_it(visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/?study=digits")
    assert page.locator("article svg.marks").count() < page.locator("article").count()
    for article in page.locator("article").all():
        article.scroll_into_view_if_needed()
    settle(page)
    for article in page.locator("article").all():
        assert article.locator("svg.marks, table, .missing").count() > 0
        assert "could not be drawn" not in article.inner_text()


def test_a_click_on_a_mark_selects_everywhere_and_back_takes_it_back(visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/?study=digits&display=mean-ranks")
    ranks = page.locator("article#mean-ranks")
    page.wait_for_load_state("networkidle")
    settle(page)
    ranks.locator(".mark-symbol.role-mark path").first.click()
    page.wait_for_function("() => new URLSearchParams(location.search).has('detector')")
    settle(page)
    chosen = state(page)["detector"]
    assert page.get_by_role("combobox", name="Detector").input_value() == chosen
    assert ranks.locator(".mark-symbol.role-mark path:not(.dim)").count() == ranks.locator("svg.marks").count()
    assert ranks.locator(".mark-symbol.role-mark path.dim").count() >= 30
    ranks.locator("summary").click()
    assert ranks.locator("tbody tr").all_inner_texts()[0].startswith(chosen)
    assert ranks.locator("tr.chosen").count() == 1
    page.go_back()
    settle(page)
    assert "detector" not in state(page) and ranks.locator("path.dim").count() == 0
    page.go_forward()
    page.wait_for_function(f"() => document.querySelector('[role=combobox]') && location.search.includes('{chosen}')")
    settle(page)
    assert ranks.locator("path.dim").count() > 0


def test_a_name_in_a_table_selects_and_charts_are_made_for_it(visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/?study=digits&display=heat-map")
    page.locator("#heat-map summary").click()
    page.locator("#heat-map tbody button", has_text=re.compile("^vim$")).first.click()
    settle(page)
    assert state(page)["detector"] == "vim"
    scatter = page.locator("article#analysis-performance-against-detection")
    scatter.scroll_into_view_if_needed()
    scatter.get_by_text("For detector vim").wait_for()
    page.get_by_role("link", name="Samples").click()
    settle(page)
    assert state(page)["detector"] == "vim" and state(page)["view"] == "samples"


def test_the_selection_is_made_by_keyboard_alone(visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/?study=digits&view=rows&metric=auroc")
    field = page.get_by_role("combobox", name="Detector")
    field.focus()
    page.keyboard.press("ArrowDown")
    assert field.get_attribute("aria-expanded") == "true"
    page.keyboard.type("kn")
    assert page.get_by_role("option").all_inner_texts()[0].startswith("knn")
    page.keyboard.press("Enter")
    settle(page)
    assert state(page)["detector"] == "knn" and field.get_attribute("aria-expanded") == "false"
    headings, rows = of_table(page)
    assert {row[headings.index("detector")] for row in rows} == {"knn"}
    page.get_by_role("button", name="Clear detector").press("Enter")
    settle(page)
    assert "detector" not in state(page)


def test_a_pasted_address_restores_the_view_and_an_old_one_says_what_is_gone(visit: Visit, dashboard: str) -> None:
    address = f"{dashboard}/?study=digits&view=rows&model=mixup-0&detector=knn&metric=auroc&sort=value&descending=true"
    page = visit.page(address)
    assert [page.get_by_role("combobox", name=name).input_value() for name in ("Model", "Detector")] == [
        "mixup-0",
        "knn",
    ]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("value")
    assert page.get_by_label("Measure").input_value() == "auroc"
    old = visit.page(f"{dashboard}/?study=digits&detector=gone")
    assert "This study has no detector gone" in old.locator("main").inner_text() and "detector" not in state(old)


def test_rows_are_sorted_and_cut_by_the_server_and_show_what_is_stored(
    visit: Visit, dashboard: str, digits: Path
) -> None:
    stored = query.rows(digits, "metric = 'auroc' AND detector = 'knn'")
    page = visit.page(f"{dashboard}/?study=digits&view=rows&metric=auroc&detector=knn")
    assert f"{stored.height:,} rows" in page.locator("main").inner_text()
    page.get_by_role("button", name="value", exact=True).click()
    settle(page)
    headings, rows = of_table(page)
    assert page.locator("th[aria-sort]").inner_text().startswith("value") and state(page)["sort"] == "value"
    shown = [float(row[headings.index("value")]) for row in rows]
    expected = stored["value"].drop_nulls().sort(descending=True)
    np.testing.assert_allclose(shown, expected[: len(shown)], rtol=1e-4)
    page.get_by_role("link", name="Next").click()
    settle(page)
    headings, rows = of_table(page)
    shown = [float(row[headings.index("value")]) for row in rows if row[headings.index("value")]]
    np.testing.assert_allclose(shown, expected[50 : 50 + len(shown)], rtol=1e-4)
    assert state(page)["page"] == "2"


def test_downloads_hold_the_numbers_of_the_store(visit: Visit, dashboard: str, digits: Path) -> None:
    page = visit.page(f"{dashboard}/?study=digits&view=rows&metric=auroc&detector=knn&model=mixup-0")
    got = saved(page, "Download these rows")
    stored = query.rows(digits, "metric = 'auroc' AND detector = 'knn' AND model = 'mixup-0'")
    assert len(got) == stored.height > 8
    assert sorted(float(row["value"]) for row in got if row["value"]) == sorted(stored["value"].drop_nulls())


def test_a_display_and_its_download_hold_the_means_of_the_store(visit: Visit, dashboard: str, digits: Path) -> None:
    page = visit.page(f"{dashboard}/?study=digits&display=heat-map")
    page.locator("#heat-map summary").click()
    got = {(row["strategy"], row["detector"]): float(row["value"]) for row in saved(page, "Download heat-map.csv")}
    rows = query.rows(digits, "metric = 'auroc' AND set_kind = 'ood' AND part IS NULL AND role = 'test'")
    means = rows.group_by("strategy", "detector").agg(pl.col("value").mean())
    assert len(got) == means.height == 4 * 31
    for strategy, detector, value in means.iter_rows():
        assert got[strategy, detector] == pytest.approx(value, abs=2e-6)


@pytest.fixture(scope="module")
def percentiles(digits: Path) -> pl.DataFrame:
    """Percentile of every sample of the model mixup-0 by every detector, worked out apart from the dashboard."""
    jobs = query.rows(digits, "model = 'mixup-0' AND detector IS NOT NULL").select("detector").unique()
    found = []
    for path in sorted((digits / "scores" / "mixup-0").glob("*.parquet")):
        key, scores = path.stem, pl.read_parquet(path)
        named = pl.read_parquet(digits / "rows" / f"{key}.parquet")["detector"].drop_nulls()
        if named.is_empty():
            continue  # the merits of the model's own answers
        detector = named[0]
        known = np.sort(scores.filter(pl.col("set") == "test")["score"].to_numpy())
        below = np.searchsorted(known, scores["score"].to_numpy(), side="left") / len(known) * 100
        found.append(scores.select("set", "row").with_columns(detector=pl.lit(detector), percentile=pl.Series(below)))
    assert len(found) == jobs.height
    return pl.concat(found)


def test_samples_come_in_the_order_of_their_disagreement(
    visit: Visit, dashboard: str, percentiles: pl.DataFrame
) -> None:
    expected = (
        percentiles.group_by("set", "row").agg(pl.col("percentile").std(ddof=0).alias("sd")).sort("sd", descending=True)
    )
    page = visit.page(f"{dashboard}/?study=digits&view=samples&model=mixup-0")
    shown = [
        float(text.rpartition(" ")[2])
        for text in page.locator(".sample .aside", has_text="disagreement").all_inner_texts()
    ]
    np.testing.assert_allclose(shown, expected["sd"][: len(shown)], atol=0.051)
    page.wait_for_function("() => document.querySelector('.sample img').naturalWidth >= 8")


def test_a_sample_shows_every_detector_and_leads_to_the_next(
    visit: Visit, dashboard: str, percentiles: pl.DataFrame
) -> None:
    page = visit.page(f"{dashboard}/?study=digits&view=samples&model=mixup-0&set=letters")
    page.locator(".sample").nth(2).click()
    settle(page)
    at = state(page)
    assert at["view"] == "sample" and at["from"] == "letters"
    one = percentiles.filter(pl.col("set") == "letters", pl.col("row") == int(at["sample"]))
    rows = page.locator(".percentiles tbody tr")
    shown = {cells[0]: float(cells[2]) for cells in (row.locator("th, td").all_inner_texts() for row in rows.all())}
    assert len(shown) == 31
    for detector, percentile in one.select("detector", "percentile").iter_rows():
        assert shown[detector] == pytest.approx(percentile, abs=0.051)
    assert page.locator(".nearest li").count() == 5 and page.locator("h3", has_text="Why").count() == 1
    rows.nth(4).locator("button").click()
    settle(page)
    assert page.locator(".percentiles tr.chosen").inner_text().startswith(state(page)["detector"])
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert state(page)["sample"] != at["sample"]
    page.go_back()
    settle(page)
    assert state(page)["sample"] == at["sample"]
    page.get_by_role("link", name="All samples").click()
    settle(page)
    assert page.locator(".sample").count() > 3


def on_the_third_page(visit: Visit, dashboard: str, more: str = "") -> Page:
    """The fourth sample of the third page of a list."""
    page = visit.page(f"{dashboard}/?study=digits&view=samples&model=mixup-0&page=3{more}")
    page.locator(".sample").nth(3).click()
    page.get_by_role("link", name="Next →").wait_for()
    return page


def steps(page: Page) -> tuple[str, str]:
    """The samples that Previous and Next lead to, which the keys do too."""
    found = [page.get_by_role("link", name=name) for name in ("← Previous", "Next →")]
    page.locator("h1").click()
    for link, key, back in zip(found, ("ArrowLeft", "ArrowRight"), ("ArrowRight", "ArrowLeft"), strict=True):
        start, target = state(page), link.get_attribute("href") or ""
        page.keyboard.press(key)
        page.wait_for_function("target => location.search === target", arg=target)
        page.get_by_role("link", name="Next →").wait_for()
        page.keyboard.press(back)
        page.wait_for_function("row => new URLSearchParams(location.search).get('sample') === row", arg=start["sample"])
        page.get_by_role("link", name="Next →").wait_for()
    return tuple(link.get_attribute("href") or "" for link in found)  # type: ignore[return-value]


def test_the_steps_go_on_after_a_detector_is_selected(visit: Visit, dashboard: str) -> None:
    page = on_the_third_page(visit, dashboard)
    before = [parse_qs(link) for link in steps(page)]
    page.locator(".percentiles button.name").first.click()
    page.get_by_role("link", name="Next →").wait_for()
    after = [parse_qs(link) for link in steps(page)]
    assert [(each["from"], each["sample"]) for each in before] == [(each["from"], each["sample"]) for each in after]
    page.get_by_role("link", name="All samples").click()
    settle(page)
    assert state(page)["page"] == "3" and "49\N{EN DASH}72" in page.locator(".pager").inner_text()


def test_the_steps_lead_into_a_set_that_is_selected(visit: Visit, dashboard: str) -> None:
    page = on_the_third_page(visit, dashboard, "&set=letters")
    at = state(page)
    field = page.get_by_role("combobox", name="Set")
    field.fill("digits")
    page.get_by_role("option").first.click()
    page.get_by_role("link", name="Next →").wait_for()
    chosen = state(page)["set"]
    assert chosen != "letters" and (state(page)["sample"], state(page)["from"]) == (at["sample"], "letters")
    for name in ("← Previous", "Next →"):
        link = page.get_by_role("link", name=name)
        assert parse_qs(link.get_attribute("href") or "")["from"] == [chosen]
    page.get_by_role("link", name="Next →").click()
    settle(page)
    assert state(page)["from"] == chosen and steps(page)


def test_why_adds_up_to_the_score(visit: Visit, dashboard: str) -> None:
    page = visit.page(f"{dashboard}/?study=digits&view=sample&model=mixup-0&from=letters&sample=3")
    menu = page.locator("select#why")
    for detector in menu.locator("option").all_inner_texts():
        menu.select_option(detector)
        said = page.locator(".sample-right .note", has_text="add up").inner_text()
        total = float(re.search(r"add up to it: (\S+)\. ", said)[1])  # type: ignore[index]
        parts = page.locator(".bars:has(.both) .bar-value").all_inner_texts()
        values = [float(text.replace("\N{MINUS SIGN}", "-").replace("+", "")) for text in parts]
        assert sum(values) == pytest.approx(total, rel=0.02, abs=0.01 * sum(map(abs, values)) + 1e-6)


@pytest.fixture
def running(digits: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """A copy of the study with half of its jobs still to come, and the files of those."""
    folder = shutil.copytree(
        digits, tmp_path / "studies" / "running", ignore=shutil.ignore_patterns("models", "finished.json")
    )
    left = sorted((folder / "rows").glob("*.parquet"))[::2]
    aside = tmp_path / "aside"
    aside.mkdir()
    return folder, [Path(shutil.move(path, aside / path.name)) for path in left]


def test_a_running_study_is_followed_live(visit: Visit, running: tuple[Path, list[Path]], tmp_path: Path) -> None:
    folder, left = running
    with served(folder.parent, tmp_path / "index") as address:
        page = visit.page(f"{address}/?study=running&view=progress")
        bar = page.get_by_role("progressbar")
        before = int(bar.get_attribute("aria-valuenow") or 0)
        assert f"{before} of {before + len(left)} jobs, running" in page.locator("main").inner_text()
        for path in left[:3]:
            shutil.move(path, folder / "rows" / path.name)
        page.wait_for_function(f"() => document.querySelector('[role=progressbar]').ariaValueNow === '{before + 3}'")
        for path in left[3:]:
            shutil.move(path, folder / "rows" / path.name)
        page.get_by_text("Every job is done.").wait_for()


def test_a_running_study_that_cannot_be_read_says_so_and_goes_on(
    visit: Visit, running: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, _ = running
    manifest = folder / "study.json"
    content = manifest.read_text()
    with served(folder.parent, tmp_path / "index") as address:
        page = visit.page(f"{address}/?study=running&view=progress")
        manifest.write_text("{")
        page.get_by_role("alert").filter(has_text="Expected JSON").wait_for()
        assert "done" not in page.locator("main").inner_text()
        manifest.write_text(content)
        page.get_by_role("progressbar").wait_for()
        assert "jobs, running" in page.locator("main").inner_text()
        shutil.rmtree(folder)
        page.get_by_text("There is no job here").wait_for()
        assert "done" not in page.locator("main").inner_text()
        page.close()


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Visit]:
    """Pages on which an error is what is tested."""
    made = Visit(browser)
    yield made
    made.context.close()
    assert all("Failed to load resource" in error or "ERR_" in error for error in made.errors), made.errors


def test_errors_say_what_to_do_and_can_be_tried_again(troubled: Visit, dashboard: str) -> None:
    page = troubled.page(f"{dashboard}/?study=nothing")
    assert "Expected one of the studies" in page.get_by_role("alert").inner_text()
    page.get_by_role("link", name="All studies").click()
    settle(page)
    assert page.locator(".card").count() == 2
    page.context.route("**/rows?*", lambda route: route.abort())
    page.goto(f"{dashboard}/?study=digits&view=rows")
    settle(page)
    assert "Is outfield serve still running?" in page.get_by_role("alert").inner_text()
    page.context.unroute("**/rows?*")
    page.get_by_role("button", name="Try again").click()
    page.locator("main table").wait_for()


def test_an_empty_folder_says_how_to_fill_it(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    with served(tmp_path / "studies", tmp_path / "index") as address:
        page = visit.page(address)
        assert "There is no study here yet" in page.locator("main").inner_text()
        assert violations(page) == []


def test_a_page_with_a_token_opens_by_its_address_alone(troubled: Visit, digits: Path, tmp_path: Path) -> None:
    token = "a-long-and-secret-token"
    with served(digits.parent, tmp_path / "index", token=token) as address:
        page = troubled.context.new_page()
        assert page.goto(address).status == 401  # type: ignore[union-attr]
        page = troubled.page(f"{address}/?token={token}")
        assert page.locator(".card").count() == 2 and "token" not in page.url
