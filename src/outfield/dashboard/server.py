"""Starting the dashboard: which hosts, which token, and the address to open."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from outfield.dashboard import overview
from outfield.dashboard.app import create_app
from outfield.dashboard.security import LOOPBACK
from outfield.dashboard.studies import PAUSE, Shelf
from outfield.errors import UserError

ANY = ("0.0.0.0", "::", "")
SHORTEST = 16
"""Characters of a token, at least."""


def serve(folder: Path, host: str, port: int, token: str | None, say: Callable[[str], object]) -> None:
    """Serve the studies below a folder until interrupted.

    Raises
    ------
    UserError
        The folder cannot be read, or the token is short.
    """
    token = settled(host, token)
    app = create_app(folder, token=token, hosts=("*",) if host in ANY else {host.lower(), *LOOPBACK})
    threading.Thread(target=_warm, args=(app.state.shelf,), daemon=True).start()
    say(f"Dashboard: {address(host, port, token)}  (Ctrl-C ends it)")
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, timeout_graceful_shutdown=1)


def _warm(shelf: Shelf) -> None:
    """Work out the studies before somebody waits for them, the latest first."""
    for study in sorted(shelf.studies(), key=lambda study: -study.updated):
        for _ in study.gathered():
            time.sleep(PAUSE)
        overview.warm(study)


def settled(host: str, token: str | None) -> str | None:
    """The token in force: as given, none on loopback, else a new one.

    Examples
    --------
    >>> settled("127.0.0.1", None), len(settled("0.0.0.0", None)) >= 16
    (None, True)
    """
    if token is not None and len(token) < SHORTEST:
        raise UserError(
            f"Expected a token of at least {SHORTEST} characters, but got {len(token)}. "
            "Leave --token out, and one is made and printed."
        )
    return token or (None if host.lower() in LOOPBACK else secrets.token_urlsafe(24))


def address(host: str, port: int, token: str | None) -> str:
    """What to open in a browser.

    Examples
    --------
    >>> address("::1", 8642, None)
    'http://[::1]:8642/'
    """
    name = "localhost" if host in ANY else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
