"""Pages in a browser, a dashboard beside the test, and what every page must be."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"


def found_chromium() -> str | None:
    """Where Chromium is on this machine."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Visit:
    """Opens pages and keeps what went wrong on them."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(120_000)
        self.errors: list[str] = []
        self.hosts: set[str] = set()

    def page(self, url: str, width: int = 1280, scheme: Any = "light") -> Page:
        """The page at an address, settled: nothing in it is busy."""
        page = self.context.new_page()
        page.set_viewport_size({"width": width, "height": 844 if width < 500 else 1000})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).netloc))
        page.goto(url)
        settle(page)
        return page


def settle(page: Page) -> None:
    """Wait until nothing of the page is loading."""
    page.wait_for_function(
        "() => document.querySelector('main')?.childElementCount && !document.querySelector('[aria-busy=true]')"
    )


@contextlib.contextmanager
def served(folder: Path, place: Path, **options: Any) -> Iterator[str]:
    """The address of a dashboard that runs beside the test."""
    import uvicorn

    from outfield.dashboard.app import create_app

    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            create_app(folder, place=place, **options), log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def screenshots(page: Page, name: str) -> None:
    """Pictures at three widths, kept for those who look; nothing may stand out of the page."""
    ARTEFACTS.mkdir(exist_ok=True)
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 844 if width < 500 else 1000})
        settle(page)
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        page.screenshot(path=ARTEFACTS / f"{name}-{width}.png")
        assert wide <= 0, f"{name} is {wide} pixels too wide at {width}"


def violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, in light and in dark."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        settle(page)
        for each in Axe().run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                found += [
                    f"{scheme}: {each['id']}: {node['target']} {node['failureSummary']}" for node in each["nodes"]
                ]
    page.emulate_media(color_scheme="light")
    return found
