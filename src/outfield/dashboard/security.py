"""Who may ask, and for what: reading only, from hosts that are ours, with the token where there is one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
COOKIE = "outfield"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer. Scripts are our own files alone: Vega runs with its expression interpreter, so nothing is evaluated.
Styles may stand in the page, for Vega sets some."""


class Guard:
    """Refuses what is not asked by reading, of a host of ours, with the token; the app behind sees nothing else.

    Parameters
    ----------
    app : ASGI application
    token : str, optional
        What must be shown: as ``Authorization: Bearer``, or once as ``?token=`` of the start page, which sets a cookie.
    hosts : collection of str
        Names that ``Host`` may have, without port; ``*`` for any.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, hosts: Collection[str] = LOOPBACK) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        answer = self._refusal(scope) or self._welcome(scope)
        asked = {**scope, "method": "GET"} if answer is None else scope
        await (answer or self.app)(asked, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _error(
                405, f"Expected GET, for this is read-only, but got {scope['method']}.", {"Allow": "GET, HEAD"}
            )
        if "*" not in self.hosts and _host(headers.get("host", "")) not in self.hosts:
            return _error(
                400, f"Expected a Host of {', '.join(sorted(self.hosts))}. Open the address that was printed."
            )
        if self.token is None or self._knows(scope, headers):
            return None
        return _error(401, "Expected the token of this server. Open the address that was printed, with ?token=.")

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        assert self.token is not None
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        shown = [bearer, _query(scope).get("token", "") if _path(scope) == "/" else ""]
        return any(_same(one, self.token) for one in shown) | _same(_cookie(headers), _seal(self.token))

    def _welcome(self, scope: Scope) -> Response | None:
        """The start page asked with the token: the cookie, and the address without it."""
        asked = _query(scope)
        if _path(scope) != "/" or "token" not in asked:
            return None
        rest = urlencode([(name, value) for name, value in asked.items() if name != "token"])
        start = f"{scope.get('root_path', '')}/"
        answer = RedirectResponse(f"{start}?{rest}" if rest else start, 303, {"Cache-Control": "no-store"})
        if self.token is not None:
            answer.set_cookie(COOKIE, _seal(self.token), httponly=True, samesite="strict", path=start)
        return answer


def _path(scope: Scope) -> str:
    """The path within the application, which may be mounted below another's."""
    return str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"


def _host(header: str) -> str:
    """The name in a Host header, without its port.

    Examples
    --------
    >>> _host("LOCALHOST:8642"), _host("[::1]:8642"), _host("a.example")
    ('localhost', '::1', 'a.example')
    """
    name = header.lower().strip()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _seal(token: str) -> str:
    """What the cookie holds: it proves the token and does not tell it."""
    return hashlib.sha256(b"outfield dashboard " + token.encode()).hexdigest()


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)
