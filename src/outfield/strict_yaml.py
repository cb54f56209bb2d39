"""YAML files of plain values, within limits: what is written twice, without end or ambiguously is an error.

Words and numbers are read as in YAML 1.2: ``no``, ``on``, ``1:30`` and ``2024-01-01`` are text, ``1e-3`` is a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from outfield.errors import UserError, reading

BYTES, NODES, DEPTH = 2 * 2**20, 200_000, 40
"""Limits of a file: its size, its values once every alias is written out, and how deep they nest."""
PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|"
        r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}
OCTAL = re.compile(r"[-+]?0[0-7_]+")
"""What YAML 1.1 reads as a number to base 8, and YAML 1.2 to base 10."""


class _Loader(yaml.SafeLoader):
    """Plain values by the rules above."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it


for _kind, (_pattern, _first) in PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


class _Dumper(yaml.SafeDumper):
    """Text is put in quotes where this reader, or one of YAML 1.1, would take it for something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        sign: [*_Loader.yaml_implicit_resolvers.get(sign, ()), *yaml.SafeDumper.yaml_implicit_resolvers.get(sign, ())]
        for sign in {*_Loader.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
    }


def dump(content: Any) -> str:
    """Plain values as YAML that :func:`parse` reads back as they were.

    Examples
    --------
    >>> parse(dump({"label": "1e-3", "seeds": [0]}))
    {'label': '1e-3', 'seeds': [0]}
    """
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)).replace("_", ""), 0)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def read(path: Path | str, what: str = "a study file") -> Any:
    """The plain values of a YAML file in UTF-8.

    Raises
    ------
    UserError
        It cannot be read, is no YAML or too large, nests too deep, an alias holds itself, a key stands twice, or a
        value is ambiguous; with the path and the line.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"Expected {what} at {path}, but it cannot be read: {said}.") from None
    if len(raw) > BYTES:
        raise UserError(f"Expected {what} of at most {BYTES // 2**20} MiB, but {path} is larger. Shorten it.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"Expected YAML in UTF-8 in {path}, but got: {error}. Save it as UTF-8.") from None
    return parse(text, str(path))


def parse(text: str, where: str = "the file") -> Any:
    r"""The plain values of YAML text; see :func:`read`.

    Examples
    --------
    >>> parse("a: no\nb: 1e-3\nc: [1:30, 2024-01-01, 8]")
    {'a': 'no', 'b': 0.001, 'c': ['1:30', '2024-01-01', 8]}
    >>> parse("epochs: 1\nepochs: 2")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected each key once in the file, but line 2 has 'epochs' again. Keep one of them.
    """
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.StreamStartEvent):
                held = _Held(where)
            held.take(event)
        with reading(where, "plain values"):
            return yaml.load(text, Loader=_Loader)  # a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"Expected YAML in {where}, but got: {' '.join(str(error).split())}") from None


@dataclass
class _Open:
    """A list or mapping whose end is not read yet: its values so far, how deep they nest, and its keys."""

    anchor: str | None = None
    is_map: bool = False
    size: int = 1
    depth: int = 1
    parts: int = 0
    keys: set[tuple[str, bool]] = field(default_factory=set)


@dataclass
class _Held:
    """What a YAML file would hold with every alias written out, told from its events before anything is made."""

    where: str
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, event: yaml.Event) -> None:
        """One event more; ``UserError`` as soon as it is too much."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            self._checked(event, line)
            self._add(1, 1, line, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise UserError(
                    f"Expected an alias of what stands above it in {self.where}, but *{event.anchor} in line {line} "
                    "is not there, or holds itself. Write the values out."
                )
            self._add(*self.anchors[event.anchor], line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.stack.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            self._limit(sum(one.size for one in self.stack), len(self.stack), line)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            self._add(done.size, done.depth, line, done.anchor)

    def _add(self, size: int, depth: int, line: int, anchor: str | None = None) -> None:
        if anchor:
            self.anchors[anchor] = size, depth
        if self.stack:
            last = self.stack[-1]
            last.size, last.depth, last.parts = last.size + size, max(last.depth, depth + 1), last.parts + 1
            self._limit(last.size, len(self.stack) + depth, line)

    def _limit(self, size: int, depth: int, line: int) -> None:
        if size > NODES:
            raise UserError(
                f"Expected at most {NODES:,} values in {self.where} once its aliases are written out, but line {line} "
                "goes beyond. Use fewer aliases, or several files."
            )
        if depth > DEPTH:
            raise UserError(
                f"Expected values in {self.where} that nest at most {DEPTH} deep, but line {line} goes beyond."
            )

    def _checked(self, event: yaml.ScalarEvent, line: int) -> None:
        if control := next(_controls(event.value), ""):
            raise UserError(
                f"Expected text in line {line} of {self.where}, but got the control character {control!r}. Remove it."
            )
        if event.implicit[0] and OCTAL.fullmatch(event.value):
            plain = event.value.lstrip("+-0_") or "0"
            raise UserError(
                f"Expected a number or text in line {line} of {self.where}, but {event.value} may be either. Write "
                f"{plain} for the number, or '{event.value}' in quotes for the text."
            )
        last = self.stack[-1] if self.stack else None
        if last and last.is_map and last.parts % 2 == 0:
            key = event.value, event.implicit[0]
            if key in last.keys:
                raise UserError(
                    f"Expected each key once in {self.where}, but line {line} has {event.value!r} again. Keep one of "
                    "them."
                )
            last.keys.add(key)


def _controls(text: str) -> Iterator[str]:
    yield from (sign for sign in text if (sign < " " and sign not in "\n\r\t") or "\x7f" <= sign <= "\x9f")
