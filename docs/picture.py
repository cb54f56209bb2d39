"""Make the documents' pictures of a study: ``python docs/picture.py results/digits``. Needs Chromium.

``report.png`` is the upper part of its report; ``dashboard.png`` is the dashboard at the OOD input about which
detectors disagree most.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

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
SHOWN = {"model": "baseline-0", "set": "digit 9"}


def take(address: str, picture: Path, height: int) -> None:
    """The upper part of a page, 1280 pixels wide."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("Expected Chromium on the PATH, but there is none. Install it, for example: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, *QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=20000"]
        window = [f"--window-size=1280,{height}", f"--screenshot={picture.resolve()}"]
        subprocess.run([*command, *window, address], check=True, timeout=300)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a dashboard that runs beside this."""
    import uvicorn

    from outfield.dashboard.app import create_app

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(folder), log_level="warning"))
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True


def main(study: Path) -> None:
    """Both pictures, beside this file."""
    here = Path(__file__).parent
    take((study / "report.html").resolve().as_uri(), here / "report.png", 1500)
    with served(study.resolve()) as address:
        name = study.resolve().name
        with urlopen(f"{address}/api/studies/{name}/samples?{urlencode(SHOWN)}") as answer:
            first = json.load(answer)["items"][0]
        page = {"study": name, "view": "sample", "from": first["set"], "sample": first["row"], "detector": "mds"}
        take(f"{address}/?{urlencode(SHOWN | page)}", here / "dashboard.png", 1350)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/digits"))
