"""A guard's page in a browser: of an audit log as a file, and live beside a service."""

from __future__ import annotations

import csv
import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outfield.dashboard.guard_page import save, view_of_log, with_page
from outfield.guard.audit import Audit
from outfield.guard.service import Service, app_of
from tests.browser.pages import Visit, screenshots, violations
from tests.unit.test_guard_audit import fed, stream
from tests.unit.test_guard_bundle import bundle_of, network, rows

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("guarded")
    return bundle_of(network(), place, calibrate=rows(1)).save(place / "a.guard")


@pytest.fixture
def service(bundle: Path, tmp_path: Path) -> Iterator[Service]:
    made = Service(bundle, audit=Audit(tmp_path / "log"))
    yield made
    made.close()


@pytest.fixture
def live(service: Service) -> Iterator[str]:
    """The address of the page of a running service."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(with_page(app_of(service), service), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def story(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with an alarm that was acknowledged, and an estimate."""
    log = tmp_path_factory.mktemp("guard-story") / "log"
    made = Service(bundle, audit=Audit(log))
    fed(made, stream(1100))
    fed(made, stream(200, seed=9, shift=9.0))
    made._acknowledge("A new camera <b>in hall 3</b>.")
    fed(made, stream(300, seed=6))
    made.close()
    return log


def drawn(page: Page) -> None:
    page.wait_for_selector("html[data-drawn]")


def test_the_page_of_a_log_opens_at_every_width_and_can_be_used_by_everyone(
    visit: Visit, story: Path, tmp_path: Path
) -> None:
    page = visit.page(save(view_of_log(story), tmp_path / "guard.html").as_uri())
    drawn(page)
    assert page.locator(".vega svg").count() == page.locator(".vega").count() == 8
    assert "in hall 3</b>" in page.locator("#alarms td").last.inner_text()
    screenshots(page, "guard")
    assert not violations(page)


def test_the_numbers_are_those_of_the_log(visit: Visit, story: Path, tmp_path: Path) -> None:
    view = view_of_log(story)
    page = visit.page(save(view, tmp_path / "guard.html").as_uri())
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download ladder.csv").click()
    found = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    assert [float(row["observed"]) for row in found] == pytest.approx(
        (100 * view.monitor.flags / view.monitor.items).tolist(), abs=1e-4
    )
    assert page.locator("#flagged-inputs tbody tr").count() == min(100, view.flagged[0])


def test_the_live_page_fills_and_alarms_without_being_loaded_again(visit: Visit, live: str, service: Service) -> None:
    page = visit.page(live)
    drawn(page)
    assert page.locator("#state").inner_text() == "No request yet."
    screenshots(page, "guard-empty")
    assert not violations(page)
    page.evaluate("() => { window.stays = true; }")
    fed(service, stream(300))
    fed(service, stream(200, seed=9, shift=9.0))
    page.wait_for_selector("#state.alarm", timeout=30_000)
    page.wait_for_selector("#flag-rate .vega svg")
    assert page.evaluate("() => window.stays"), "the page was not loaded again"
    assert "ALARM after" in page.locator("#state").inner_text()
    assert page.locator("#renewed").inner_text().startswith("Renewed")
    assert not violations(page)


def test_the_live_page_keeps_what_a_reader_does(visit: Visit, live: str, service: Service) -> None:
    fed(service, stream(200, seed=9, shift=9.0))
    time.sleep(1.5)  # the log writes an open block after a second
    page = visit.page(live)
    drawn(page)
    details = page.locator("#flag-rate details")
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    before = page.locator("#flag-rate-title").inner_text()
    fed(service, stream(600))
    page.wait_for_function("before => document.getElementById('flag-rate-title').innerText !== before", arg=before)
    assert page.locator("#flag-rate details").get_attribute("open") is not None
    assert page.evaluate("() => document.activeElement.closest('article')?.id") == "flag-rate"
    page.get_by_role("button", name="Pause renewing").click()
    assert "Paused" in page.locator("#renewed").inner_text()
