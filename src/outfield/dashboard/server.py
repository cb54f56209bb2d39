"""Starting the dashboard: which hosts, which token, and the address to open."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from outfield.dashboard.security import LOOPBACK
from outfield.errors import UserError

if TYPE_CHECKING:
    from outfield.dashboard.studies import Shelf, Study

ANY = ("0.0.0.0", "::", "")
SHORTEST = 16
"""Characters of a token, at least."""
PATIENCE = 20.0
"""Seconds in which a connection must have asked: a request is a few hundred bytes."""


def serve(folder: Path, host: str, port: int, token: str | None, say: Callable[[str], object]) -> None:
    """Serve the studies below a folder, or the page of a guard's audit log, until interrupted.

    Raises
    ------
    UserError
        The folder cannot be read, the port is taken, or the token is short.
    """
    from outfield.dashboard.app import create_app
    from outfield.guard.timeline import is_log

    token = settled(host, token)
    hosts = ("*",) if host in ANY else {host.lower(), *LOOPBACK}
    if is_log(folder):
        from outfield.dashboard.guard_page import app_of_page, page_of_log

        page = app_of_page(page_of_log(folder), token=token, hosts=hosts)
        with listening(host, port) as door:
            where = f"Guard: {address(host, door.getsockname()[1], token)}  (Ctrl-C ends it)"
            run(page, door, lambda: say(where))
        return
    app = create_app(folder, token=token, hosts=hosts)
    shelf, stop = app.state.shelf, threading.Event()
    warming = threading.Thread(target=_warm, args=(shelf, stop))
    with listening(host, port) as door:
        warming.start()
        opened = f"Dashboard: {address(host, door.getsockname()[1], token)}  (Ctrl-C ends it)"
        try:
            run(app, door, lambda: say(opened))
        finally:
            stop.set()
            warming.join()
            shelf.close()


def run(app: Any, door: socket.socket, started: Callable[[], object]) -> None:
    """Answer what comes to a socket until interrupted; ``started`` is called once that begins."""
    with suppress(KeyboardInterrupt):
        _Server(settings(app), started).run(sockets=[door])


def settings(app: Any) -> uvicorn.Config:
    """How the server treats its connections."""
    return uvicorn.Config(app, http=_Hurried, log_level="warning", server_header=False, timeout_graceful_shutdown=1)


class _Hurried(H11Protocol):
    """Closes a connection that has not asked in time, whether it sends nothing or a byte now and then."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop()
        self._due = self.loop.call_later(PATIENCE, self._close)

    def _stop(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _close(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    """Says so when it answers."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._say = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    UserError
        The port is taken, or may not be had.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(
            f"Expected to listen on port {port} of {host or 'every address'}, but got: {error.strerror}. "
            "Choose another with --port (0: any that is free) or --host."
        ) from None


def _warm(shelf: Shelf, stop: threading.Event) -> None:
    """Work out the studies before somebody waits for them, the latest first."""
    for study in sorted(shelf.studies(), key=_age):
        if stop.is_set():
            return
        with suppress(Exception):  # whoever opens the study is told what is wrong with it
            _warm_one(study, stop)


def _age(study: Study) -> float:
    try:
        return -study.updated
    except OSError:
        return 0.0


def _warm_one(study: Study, stop: threading.Event) -> None:
    from outfield.dashboard import overview
    from outfield.dashboard.studies import PAUSE

    for _ in study.gathered():
        if stop.wait(PAUSE):
            return
    for _ in overview.warm(study):
        if stop.is_set():
            return


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
