"""A token that requests must show."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Token:
    """Refuses requests without ``Authorization: Bearer TOKEN``, but those for paths that are free.

    Parameters
    ----------
    app : ASGI application
    token : str or None
        None asks for none.
    free : collection of str
        Paths that need no token.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, free: Collection[str] = ()) -> None:
        self.app, self.token, self.free = app, token, frozenset(free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(scope):
            answer = JSONResponse({"error": "Expected the token of this service as Authorization: Bearer TOKEN."}, 401)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        if self.token is None or scope["path"] in self.free:
            return True
        shown = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(shown.encode(), self.token.encode())
