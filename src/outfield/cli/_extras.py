from __future__ import annotations

from importlib.util import find_spec

from outfield.errors import MissingExtra


def need(*packages: str, extra: str) -> None:
    """``MissingExtra`` for the first package that is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtra(package, extra=extra)
