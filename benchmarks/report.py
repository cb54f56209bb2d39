"""Size of the report, seconds to write it, and seconds until a browser has opened and drawn it.

Two reports: of generated rows of 56 models, 31 detectors and eight OOD sets, and of a study of yours where one is
named. "opened": the page is parsed and answers, its first chart not yet drawn; "drawn": so are all charts. Medians of
fresh loads from disk, offline. Targets: at most 8 MB, opened in under 2 s. Needs Chromium and playwright.

Run: python benchmarks/report.py [--study results/digits] [--repeats 5] [--models 56]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import polars as pl

from outfield.reports import page

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser.pages import FLAGS, found_chromium
from tests.integration import simulated

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FAMILIES = ("baseline", "adversarial", "augmentation", "recipe")
OPENED = "() => performance.getEntriesByType('navigation')[0].domInteractive / 1000"
DRAWN = "() => performance.now() / 1000"


def generated(models: int) -> pl.DataFrame:
    """Rows of that many models of one seed, every detector and eight OOD sets."""
    strategies = {f"strategy {number}": FAMILIES[number % len(FAMILIES)] for number in range(models)}
    return simulated.rows(strategies=strategies, seeds=1)


def opening(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds until the page is parsed, and until its charts are drawn."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 1000})
    try:
        tab = context.new_page()
        tab.goto(path.as_uri(), wait_until="commit")
        tab.wait_for_selector("html[data-drawn]", timeout=120_000)
        return float(tab.evaluate(OPENED)), float(tab.evaluate(DRAWN))
    finally:
        context.close()


def measure(browser: Browser, name: str, study: Path | pl.DataFrame, folder: Path, repeats: int) -> None:
    start = perf_counter()
    path = page.write(study, folder / "report.html")
    written = perf_counter() - start
    opened, drawn = zip(*(opening(browser, path) for _ in range(repeats)), strict=True)
    size = path.stat().st_size / 1e6
    print(
        f"{name}: {size:.2f} MB, written in {written:.1f} s; opened in {statistics.median(opened):.2f} s, "
        f"all charts drawn after {statistics.median(drawn):.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", type=int, default=56)
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = found_chromium() or sys.exit(
        "Expected Chromium, but there is none. Install it: apt-get install chromium"
    )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        measure(browser, f"{args.models} models", generated(args.models), Path(folder), args.repeats)
        if args.study:
            measure(browser, args.study.name, args.study, Path(folder), args.repeats)
        browser.close()


if __name__ == "__main__":
    main()
