from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from outfield.errors import UserError

PATIENCE = 30.0


def posted(address: str, body: object, token: str | None) -> dict[str, Any]:
    """What a service answers to a request of JSON.

    Raises
    ------
    UserError
        No address, no answer, or one that says what was wrong.
    """
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
        raise UserError(f"Expected the address of a service, as http://127.0.0.1:8643, but got {address!r}. Pass it.")
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    asked = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise UserError(_said(error)) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected a guard's service at {address}, but got: {error}. Check the address, and that it runs."
        ) from None


def _said(error: urllib.error.HTTPError) -> str:
    """What a service says of a request that it refuses."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"Expected a guard's service, but got status {error.code} ({error.reason}). Check the address."
