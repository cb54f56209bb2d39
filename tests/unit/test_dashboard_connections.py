"""Connections that do not ask are closed; those that ask are answered, however long it takes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from outfield.dashboard import server

ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asyncio.sleep(0.6 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a server listens that waits a fifth of a second for a request."""
    with pytest.MonkeyPatch.context() as patch, server.listening("127.0.0.1", 0) as door:
        patch.setattr(server, "PATIENCE", 0.2)
        started = threading.Event()
        running = server._Server(server.settings(app), started.set)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [door]})
        thread.start()
        assert started.wait(60)
        yield door.getsockname()[1]
        running.should_exit = True
        thread.join()


def until_closed(port: int, *, first: bytes, drip: bytes = b"") -> bytes:
    """All that is answered until the server closes the connection; a byte is sent whenever it is silent."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(first)
        for _ in range(400):
            try:
                if not (piece := connection.recv(4096)):
                    return found
                found += piece
            except TimeoutError:
                if drip:
                    connection.sendall(drip)
            except ConnectionError:
                return found
    pytest.fail("Expected the connection to be closed, but it was open after 20 seconds.")


@pytest.mark.parametrize(
    ("first", "drip", "answers"),
    [
        (b"", b"", 0),
        (b"G", b"", 0),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", 0),
        (ASKED, b"", 1),
        (ASKED + b"GET / HTTP/1.1\r\n", b"X: y\r\n", 1),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x", 1),
        (ASKED + ASKED, b"", 2),
    ],
    ids=["nothing", "one letter", "endless headers", "idle", "a second that is never asked", "endless body", "two"],
)
def test_who_does_not_ask_is_sent_away(port: int, first: bytes, drip: bytes, answers: int) -> None:
    assert until_closed(port, first=first, drip=drip).count(b"200 OK") == answers


def test_an_answer_that_takes_longer_is_awaited(port: int) -> None:
    assert until_closed(port, first=ASKED.replace(b"/ ", b"/slow ", 1)).endswith(b"ok")
