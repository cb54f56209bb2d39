"""Make the README's picture from a report: ``python docs/picture.py results/digits/report.html``. Needs Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def main(report: Path, picture: Path, height: int = 1500) -> None:
    """The upper part of the page, 1280 pixels wide."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("Expected Chromium on the PATH, but there is none. Install it, for example: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, *QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=20000"]
        window = [f"--window-size=1280,{height}", f"--screenshot={picture.resolve()}"]
        subprocess.run([*command, *window, report.resolve().as_uri()], check=True, timeout=300)


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "results/digits/report.html"), Path(__file__).with_name("report.png")
    )
