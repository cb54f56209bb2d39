"""How a check says what it expected and what came."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from outfield import registry, tags
from outfield.errors import UserError, singular

Plugin = TypeVar("Plugin")


def expect(holds: object, expected: str, got: object = "something else") -> None:
    """``AssertionError`` that says what was expected and what came, unless it holds."""
    if not holds:
        raise AssertionError(f"Expected {expected}, but got {got}.")


@contextmanager
def refused(about: str, match: str) -> Iterator[None]:
    """Inside, a ``UserError`` whose message matches has to be raised."""
    try:
        yield
    except UserError as error:
        expect(re.search(match, str(error)), f"a message with {match!r} for {about}", repr(str(error)))
    else:
        raise AssertionError(f"Expected a UserError for {about}, but got none.")


def all_of(checks: Sequence[Callable[[Plugin], None]], plugin: Plugin) -> None:
    """Every check of a contract; whatever goes wrong is an ``AssertionError`` that names the plug-in and the check."""
    for check in checks:
        try:
            check(plugin)
        except Exception as error:
            said = (
                str(error)
                if isinstance(error, AssertionError)
                else f"Expected no error, but got {type(error).__name__}: {error}"
            )
            raise AssertionError(f"{plugin!r} breaks {check.__name__!r} ({_purpose(check)}): {said}") from error


def _purpose(check: Callable[..., None]) -> str:
    return (inspect.getdoc(check) or "").partition("\n")[0].rstrip(".")


def written(kind: str, plugin: Any) -> dict[str, Any]:
    """A plug-in as a study file writes it: its name and its fields, through JSON."""
    plain = {one.name: _plain(getattr(plugin, one.name)) for one in fields(plugin)}
    found: dict[str, Any] = json.loads(json.dumps({"name": registry.name_of(kind, plugin), **plain}))
    return found


def _plain(value: Any) -> Any:
    from outfield.data.base import Source

    if isinstance(value, Source):
        return written("sources", value)
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def is_found_by_its_name(kind: str, plugin: Any) -> None:
    """The registry gives its class under its name."""
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    name = registry.name_of(kind, cls)
    found = registry.find(kind, name) if name in registry.names(kind) else None
    way = f"the entry point `{name} = {cls.__module__}:{cls.__qualname__}` of the group outfield.{kind}, installed"
    expect(found is cls, f"the {singular(kind)} {cls.__name__} under its name: by {way}", found or f"no {name!r}")


def carries_tags(kind: str, cls: type) -> None:
    """Its tasks and its modality are stated, or follow from what it reads."""
    try:
        tags.check(kind, cls)
    except UserError as error:
        raise AssertionError(str(error)) from error


def comes_back_from_json(kind: str, plugin: Any) -> None:
    """It is a frozen dataclass, and its name and fields, as a study file writes them, give it again."""
    from outfield.studies.spec import Plugin as Named

    settings = getattr(type(plugin), "__dataclass_params__", None)
    expect(settings is not None and settings.frozen, "a frozen dataclass, `@dataclass(frozen=True)`", type(plugin))
    again = Named(**written(kind, plugin)).build(kind)
    expect(again == plugin, f"{plugin!r} back from JSON", again)
    twice = Named(**written(kind, again)).build(kind)
    expect(repr(twice) == repr(again), f"the repr {again!r} back from JSON", twice)


def imports_no_torch(module: str) -> None:
    """A module that lists and reports load imports no torch, in a process of its own."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{module} to be imported", done.stderr.strip()[-500:])
    expect(
        done.stdout.split()[-1] == "False",
        f"{module} to import no torch when it is loaded: import it within functions, or under TYPE_CHECKING",
        "torch imported",
    )
