"""The optional frameworks behind the adapters, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from outfield.errors import MissingExtra, UserError


def library(name: str, extra: str) -> Any:
    """The module of that name.

    Raises
    ------
    MissingExtra
        It, or a package that it needs, is not installed.
    UserError
        It is installed and cannot be imported.

    Examples
    --------
    >>> library("json", extra="none").dumps([1])
    '[1]'
    >>> library("no_such_library", extra="vision")
    Traceback (most recent call last):
    outfield.errors.MissingExtra: This needs the package 'no_such_library', ... pip install 'outfield[vision]'
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or name).partition(".")[0], extra=extra) from None
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"Expected to import {name!r}, which is installed, but it failed: {str(error).splitlines()[0]}. "
            "Often torchvision does not fit torch: install the two from one place, in versions that belong together."
        ) from error
