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
    admin : str or None
        A second token, which opens everything; None: the first does.
    of_admin : collection of str
        Paths that the first does not open where there is a second.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None = None,
        free: Collection[str] = (),
        admin: str | None = None,
        of_admin: Collection[str] = (),
    ) -> None:
        self.app, self.token, self.free = app, token, frozenset(free)
        self.admin, self.of_admin = admin, frozenset(of_admin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(scope):
            answer = JSONResponse({"error": "Expected the token of this service as Authorization: Bearer TOKEN."}, 401)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        asked = self._asked(scope["path"])
        if asked is None or scope["path"] in self.free:
            return True
        shown = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ").encode()
        return any(secrets.compare_digest(shown, one.encode()) for one in {asked, self.admin or asked})

    def _asked(self, path: str) -> str | None:
        """The token that opens a path."""
        return self.admin if self.admin is not None and path in self.of_admin else self.token
