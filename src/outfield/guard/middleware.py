"""The guard around somebody's own ASGI application: answers get headers with the verdict, or are held back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outfield.errors import UserError
from outfield.guard.service import FIELDS, Refused, Service
from outfield.types import Array

Values = Callable[[Scope, bytes], Mapping[str, Any] | None]
UNSCORED = "no verdict"


def of_state(scope: Scope, _: bytes) -> Any:
    """What the application has put into ``request.state.outfield``: ``{"logits": ..., "features": ...}``."""
    return scope.get("state", {}).get("outfield")


class GuardMiddleware:
    """Scores what a model said for each answer of an application.

    An answer gets the headers ``outfield-verdict``, ``outfield-score``, ``outfield-p`` (of a batch with commas) and
    ``outfield-digest``; with an audit log ``outfield-answer`` too, the id for feedback. Answers for which ``values``
    gives nothing pass untouched. The body is held until there is a verdict: to its end where ``values`` reads it, but
    no more of it than the service's limit of bytes.

    Parameters
    ----------
    app : ASGI application
    service : Service
        Its queue, monitor, metrics and audit log are shared; ``app.mount("/guard", app_of(service))`` shows them.
    values : callable of scope and body
        The logits and features of an answer, or None; default: ``request.state.outfield``.
    block : collection of str
        Verdicts (``ood``, ``no verdict``) for which the answer is replaced by one with status 422; of a batch one is
        enough. Default: none, all answers pass. ``no verdict`` is also what an answer has that cannot be scored.

    Raises
    ------
    UserError
        A verdict to block that is none.

    Examples
    --------
    >>> app.add_middleware(GuardMiddleware, service=Service("pets.guard"), block=["ood"])  # doctest: +SKIP
    """

    def __init__(self, app: ASGIApp, service: Service, values: Values = of_state, block: Collection[str] = ()) -> None:
        if strange := sorted(set(block) - {"ood", UNSCORED}):
            raise UserError(f"Expected to block 'ood' or {UNSCORED!r}, but got {strange[0]!r}. Choose of these.")
        self.app, self.service, self.values, self.block = app, service, values, frozenset(block)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        held: list[Message] = []
        passed: list[bool] = []

        async def hold(message: Message) -> None:
            if not passed:
                held.append(message)
                if self._enough(held):
                    passed.append(await self._release(scope, receive, held, send))
            elif passed[0]:
                await send(message)

        await self.app(scope, receive, hold)

    def _enough(self, held: list[Message]) -> bool:
        """Whether there is what ``values`` reads."""
        last = held[-1]
        if last["type"] != "http.response.body":
            return False
        if not last.get("more_body", False) or self.values is of_state:
            return True
        return sum(len(one.get("body", b"")) for one in held) > self.service.limits.bytes

    async def _release(self, scope: Scope, receive: Receive, held: list[Message], send: Send) -> bool:
        """Send what was held, or what stands in its place; whether the rest may follow."""
        said = await self._said(scope, _body(held))
        if said is not None and self.block & {*said["verdict"]}:
            why = {"error": "Expected inputs like those that the model knows, but this one is not.", **said}
            await JSONResponse(why, 422, _headers(said))(scope, receive, send)
            return False
        added = [] if said is None else [(name.encode(), value.encode()) for name, value in _headers(said).items()]
        for message in held:
            start = message["type"] == "http.response.start"
            await send({**message, "headers": [*message.get("headers", ()), *added]} if start else message)
        return True

    async def _said(self, scope: Scope, body: bytes) -> dict[str, Any] | None:
        """The verdicts on an answer; one of ``no verdict`` where it cannot be scored."""
        try:
            given = self.values(scope, body)
            if given is None:
                return None
            return dict(await self.service.asked(partial(self.service.of_values, _arrays(given))))
        except (UserError, Refused) as error:
            return {"verdict": [UNSCORED], "reason": str(error)}


def _body(held: list[Message]) -> bytes:
    return b"".join(one.get("body", b"") for one in held if one["type"] == "http.response.body")


def _arrays(given: Mapping[str, Any]) -> dict[str, Array]:
    """Logits and features as rows, whether they came as tensors, lists, or one row without its axis."""
    if not isinstance(given, Mapping) or not given or set(given) - {*FIELDS}:
        raise UserError(f"Expected {' and '.join(FIELDS)} of an answer, but got others. Return these by name.")
    try:
        return {name: np.atleast_2d(np.asarray(one, dtype=np.float32)) for name, one in given.items()}
    except (TypeError, ValueError):
        raise UserError("Expected logits and features as rows of numbers, but got others. Return arrays.") from None


def _headers(said: Mapping[str, Any]) -> dict[str, str]:
    """Verdicts as headers; a score that is none is left empty."""
    found = {
        f"outfield-{name}": ",".join("" if one is None else str(one) for one in said[name])
        for name in ("verdict", "score", "p", "answer")
        if name in said
    }
    for name in ("digest", "reason"):
        if name in said:
            found[f"outfield-{name}"] = " ".join(str(said[name]).split()).encode("ascii", "replace").decode()
    return found
