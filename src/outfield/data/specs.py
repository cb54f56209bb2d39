"""Sources as a study file names them: ``{"source": "digits", "classes": [8]}``, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from outfield import registry
from outfield.data.base import Source
from outfield.errors import UserError


def source(spec: Mapping[str, Any] | Source) -> Source:
    """The source that a mapping names by ``source``, its other entries the fields; sources may be nested.

    Raises
    ------
    UserError
        No ``source``, an unknown one, or a field that it does not have.

    Examples
    --------
    >>> source({"source": "shifted", "of": {"source": "digits", "classes": [8]}, "shift": "blur"})
    Shifted(of=Digits(classes=(8,), part='all', side=16, seed=0), shift='blur', severity=3, seed=0)
    """
    if isinstance(spec, Source):
        return spec
    if "source" not in spec:
        raise UserError(
            f"Expected a mapping with an entry `source`, but got {dict(spec)}. "
            f"Name one: {', '.join(registry.names('sources'))}."
        )
    params = {name: _settled(value) for name, value in spec.items() if name != "source"}
    made: Source = registry.create("sources", spec["source"], **params)
    return made


def spec(source: Source) -> dict[str, Any]:
    """A source as JSON and YAML can hold it; ``source(spec(x)) == x``.

    Examples
    --------
    >>> spec(source({"source": "digits", "classes": [8, 9]}))
    {'source': 'digits', 'classes': [8, 9], 'part': 'all', 'side': 16, 'seed': 0}
    """
    values = {field.name: getattr(source, field.name) for field in fields(source)}  # type: ignore[arg-type]
    return {"source": registry.name_of("sources", source), **{name: _plain(value) for name, value in values.items()}}


def _settled(value: Any) -> Any:
    if isinstance(value, Mapping) and "source" in value:
        return source(value)
    if isinstance(value, Mapping):
        return {name: _settled(item) for name, item in value.items()}
    return tuple(map(_settled, value)) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Source):
        return spec(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
