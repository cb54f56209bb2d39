"""Plug-ins by name. A name is a file in the kind's folder, or an entry point of an installed package.

Listing reads file names and package metadata only: nothing is imported until something is created.
An own plug-in and a foreign one take the same road: ``create("detectors", "energy", temperature=2.0)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from outfield.errors import OutfieldError, UnknownName, UserError, singular

FOLDERS = {
    "detectors": "detectors",
    "strategies": "strategies",
    "sources": "data/sources",
    "shifts": "data/shifts",
    "synthetic": "data/synthetic",
    "metrics": "metrics",
    "probes": "features/probes",
    "networks": "models/networks",
    "executors": "studies/executors",
    "tasks": "tasks",
    "estimators": "estimators",
    "analyses": "reports/analyses",
}
"""Kind of plug-in to its folder. In it, ``base.py`` and files that begin with ``_`` are no plug-ins."""


def kinds() -> tuple[str, ...]:
    """The kinds of plug-in there are.

    Examples
    --------
    >>> {"detectors", "tasks", "strategies", "analyses"} <= set(kinds())
    True
    """
    return tuple(FOLDERS)


def names(kind: str) -> tuple[str, ...]:
    """All names of a kind, sorted: files in its folder and entry points of the group ``outfield.KIND``.

    Examples
    --------
    >>> "energy" in names("detectors")
    True
    """
    return tuple(sorted({*own(kind), *_foreign(kind)}))


@cache
def own(kind: str) -> tuple[str, ...]:
    """The names of a kind that outfield itself brings: the files in its folder, sorted.

    Examples
    --------
    >>> "energy" in own("detectors")
    True
    """
    stems = (path.stem for path in _folder(kind).glob("*.py"))
    return tuple(sorted(stem for stem in stems if stem != "base" and not stem.startswith("_")))


@cache
def usual(kind: str) -> tuple[str, ...]:
    """Of outfield's own, those that are asked where none are named: all whose class does not say otherwise.

    Examples
    --------
    >>> "energy" in usual("detectors"), "heat" in usual("detectors")
    (True, False)
    """
    return tuple(name for name in own(kind) if getattr(find(kind, name), "by_default", True))


def find(kind: str, name: str) -> Any:
    """The class that a name stands for.

    Raises
    ------
    UnknownName
        With the nearest names, when there is none.

    Examples
    --------
    >>> find("detectors", "energy").__name__
    'Energy'
    """
    place = place_of(kind, name)
    return _sole_class(import_module(place)) if name in own(kind) else _foreign(kind)[name].load()


def place_of(kind: str, name: str) -> str:
    """Where a plug-in's source is, ``module:Class`` or ``module`` for its one public class; nothing is imported.

    Raises
    ------
    UnknownName
        There is no such plug-in.

    Examples
    --------
    >>> place_of("detectors", "energy")
    'outfield.detectors.energy'
    """
    if name in own(kind):
        return f"outfield.{FOLDERS[kind].replace('/', '.')}.{name}"
    if name in _foreign(kind):
        return _foreign(kind)[name].value
    raise UnknownName(kind, name, names(kind), listable=True)


def create(kind: str, name: str, /, **params: Any) -> Any:
    """An instance of the plug-in, its fields set from ``params``.

    Raises
    ------
    UnknownName
        There is no such plug-in.
    UserError
        It has no such parameter.

    Examples
    --------
    >>> create("detectors", "energy", temperature=2.0)
    Energy(temperature=2.0)
    """
    check(kind, name, params)
    return find(kind, name)(**params)


def check(kind: str, name: str, params: Mapping[str, Any]) -> None:
    """``UserError`` for a plug-in that there is not, or for parameters that it has not.

    Examples
    --------
    >>> check("detectors", "energy", {"warmth": 2.0})
    Traceback (most recent call last):
    outfield.errors.UserError: The detector 'energy' has no parameter 'warmth'. Its parameters are ...
    """
    known = list(inspect.signature(find(kind, name)).parameters)
    if unknown := sorted(set(params) - set(known)):
        has = f"Its parameters are {', '.join(known)}." if known else "It has no parameters."
        raise UserError(f"The {singular(kind)} {name!r} has no parameter {', '.join(map(repr, unknown))}. {has}")


def name_of(kind: str, plugin: Any) -> str:
    """The name under which an instance or a class is found again.

    Examples
    --------
    >>> name_of("detectors", create("detectors", "energy", temperature=2.0))
    'energy'
    """
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    for name, point in _foreign(kind).items():
        if point.value == f"{cls.__module__}:{cls.__qualname__}":
            return name
    return str(cls.__module__).rpartition(".")[2]


def _folder(kind: str) -> Path:
    if kind not in FOLDERS:
        raise UnknownName("kinds", kind, FOLDERS, listable=True)
    return Path(__file__).parent / FOLDERS[kind]


@cache
def _foreign(kind: str) -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=f"outfield.{kind}")}


def _sole_class(module: Any) -> Any:
    found = list(_public_classes(module))
    if len(found) != 1:
        raise OutfieldError(
            f"Expected one public class in {module.__name__}, but got {[cls.__name__ for cls in found]}. "
            "One plug-in, one file: begin the names of helpers with an underscore."
        )
    return found[0]


def _public_classes(module: Any) -> Iterator[type]:
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
            yield value
