"""What ``outfield list`` shows of a plug-in, read from its source: no plug-in is imported, so listing stays instant."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from outfield import registry

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Parameter:
    """A parameter as the source states it; ``default`` is None where there is none, else Python."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class Page:
    """A plug-in as its source states it.

    Parameters
    ----------
    kind, name : str
    cls : str
        The class, empty where the source cannot be found: then the name is all that is known.
    sections : dict
        Heading of the docstring to text; the text before the first heading under ''.
    values : dict
        Class attributes, by name.
    parameters : tuple of Parameter
    """

    kind: str
    name: str
    cls: str
    sections: dict[str, str]
    values: dict[str, Any]
    parameters: tuple[Parameter, ...]

    @property
    def what(self) -> str:
        """What it is, in a few words: the docstring's first sentence up to its formula."""
        first = " ".join(self.sections.get("", "").partition("\n\n")[0].split())
        without = re.sub(r" ?\[\d+(?:, \d+)*\]| \([^)]*\)", "", first)
        return re.split(r"(?:, as|[,:;]) ``|(?<=\w)[.:](?:\s|$)", without)[0].replace("``", "").rstrip(" .,:")

    @property
    def references(self) -> list[str]:
        """The papers, one a line."""
        lines = " ".join(self.sections.get("References", "").split())
        return [one.strip() for one in re.split(r"(?=\[\d+\] )", lines) if one.strip()]

    @property
    def paper(self) -> str:
        """The first paper, as in 'Ren et al. 2021'."""
        for reference in self.references[:1]:
            said = re.split(r"(?<!\b[A-Z])[.:] ", re.sub(r"^\[\d+\] ", "", reference))[0].removesuffix(" et al")
            authors, year = said.split(", "), re.findall(r"\b(?:19|20)\d\d\b", reference)[-1:]
            several = len(authors) > 2 or f"{said} et al" in reference
            first = f"{authors[0]} et al." if several else " and ".join(authors)
            return " ".join([first, *year])
        return ""


def pages(kind: str) -> list[Page]:
    """The page of every plug-in of a kind."""
    return [page(kind, name) for name in registry.names(kind)]


def page(kind: str, name: str) -> Page:
    """The page of one plug-in.

    Raises
    ------
    UnknownName
        There is no such plug-in.

    Examples
    --------
    >>> found = page("detectors", "rmds")
    >>> found.what, found.paper, found.values["needs"]
    ('Relative Mahalanobis distance', 'Ren et al. 2021', frozenset({'features'}))
    """
    module, _, cls = registry.place_of(kind, name).partition(":")
    family = list(_family(module, cls or _sole(module)))
    if not family:
        return Page(kind, name, "", {}, {}, ())
    values: dict[str, Any] = {}
    fields: dict[str, Parameter] = {}
    later: dict[str, Parameter] = {}
    for node, constants in reversed(family):
        own: dict[str, Parameter] = {}
        for statement in node.body:
            _note(statement, constants, values, own)
        last = any("kw_only=True" in ast.unparse(decorator) for decorator in node.decorator_list)
        if last:
            later |= own
        else:  # a keyword that is given anew is no keyword, and stands where the base has it
            fields |= {name: own[name] for name in later if name in own} | own
            later = {name: one for name, one in later.items() if name not in own}
        if (made := _constructor(node, constants)) is not None:
            fields = {one.name: one for one in made}
    doc = next((text for node, _ in family if (text := ast.get_docstring(node))), "")
    return Page(kind, name, family[0][0].name, _sections(doc), values, tuple((fields | later).values()))


def _note(statement: ast.stmt, constants: dict[str, Any], values: dict[str, Any], fields: dict[str, Parameter]) -> None:
    """Take in one statement of a class: a class attribute, or a field."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        values[statement.targets[0].id] = _value(statement.value, constants)
    if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
        return
    name, kind = statement.target.id, ast.unparse(statement.annotation)
    if not kind.startswith("ClassVar"):
        default = None if statement.value is None else _default(statement.value, constants)
        fields[name] = Parameter(name, kind, default)
    elif statement.value is not None:
        values[name] = _value(statement.value, constants)


def _constructor(node: ast.ClassDef, constants: dict[str, Any]) -> list[Parameter] | None:
    for function in node.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            asked = function.args
            given = [None] * (len(asked.args) - len(asked.defaults)) + list(asked.defaults)
            both = [*zip(asked.args, given, strict=True), *zip(asked.kwonlyargs, asked.kw_defaults, strict=True)]
            return [
                Parameter(
                    one.arg,
                    ast.unparse(one.annotation) if one.annotation else "",
                    _default(default, constants) if default is not None else None,
                )
                for one, default in both[1:]
            ]
    return None


def _value(node: ast.expr, constants: dict[str, Any]) -> Any:
    """What an expression stands for: a literal, a set, a constant of the file or a piece of it; else its source."""
    match node:
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.Call(func=ast.Name("frozenset")):
            return frozenset(_value(node.args[0], constants)) if node.args else frozenset()
        case ast.Set() | ast.Dict():
            return _collection(node, constants)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Slice() as part) if name in constants:
            ends = (None if end is None else ast.literal_eval(end) for end in (part.lower, part.upper, part.step))
            return constants[name][slice(*ends)]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _collection(node: ast.Set | ast.Dict, constants: dict[str, Any]) -> Any:
    if isinstance(node, ast.Set):
        return {_value(one, constants) for one in node.elts}
    values = (_value(value, constants) for value in node.values)
    return {ast.literal_eval(key): value for key, value in zip(node.keys, values, strict=True) if key}


def _default(node: ast.expr, constants: dict[str, Any]) -> str:
    if isinstance(node, ast.Name) and node.id in constants:
        return repr(constants[node.id])
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "field":
        return next((_made(word) for word in node.keywords if word.arg in ("default", "default_factory")), "")
    return ast.unparse(node)


def _made(word: ast.keyword) -> str:
    """A default that ``dataclasses.field`` states."""
    empty = {"dict": "{}", "list": "[]", "tuple": "()"}
    return empty.get(getattr(word.value, "id", ""), ast.unparse(word.value))


def _family(module: str, cls: str) -> Iterator[tuple[ast.ClassDef, dict[str, Any]]]:
    """A class and the classes that it is made from, nearest first, each with the constants of its file."""
    tree = _tree(module)
    if tree is None or not cls:
        return
    imported = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    constants = {**_constants_of(imported), **_constants(tree)}
    if cls in imported:
        yield from _family(*imported[cls])
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            yield node, constants
            for base in node.bases:
                name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
                yield from _family(*imported.get(name, (module, name)))


def _constants_of(imported: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """The constants among what a file imports."""
    trees = {name: _tree(module) for name, (module, _) in imported.items() if name.isupper()}
    found = {name: _constants(tree) for name, tree in trees.items() if tree is not None}
    return {name: found[name][imported[name][1]] for name in found if imported[name][1] in found[name]}


def _constants(tree: ast.Module) -> dict[str, Any]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _sole(module: str) -> str:
    """The one public class of a file."""
    tree = _tree(module)
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)] if tree else []
    return next((name for name in classes if not name.startswith("_")), "")


@cache
def _tree(module: str) -> ast.Module | None:
    path = _file(module)
    if path is None:
        return None
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None


def _file(module: str) -> Path | None:
    """The file of a module, found without running anything of its package."""
    top, *rest = module.split(".")
    if top == "outfield":
        folders: Sequence[str] = [str(PACKAGE)]
    else:
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if not rest:
            return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        folders = list(spec.submodule_search_locations or ())
    for folder in folders:
        place = Path(folder, *rest)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _sections(doc: str) -> dict[str, str]:
    """The text of a docstring under each of its headings."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$\n?", inspect.cleandoc(doc), flags=re.MULTILINE)
    return {"": parts[0].strip(), **{head: text.strip() for head, text in zip(parts[1::2], parts[2::2], strict=True)}}


def said_of(parameters: str) -> dict[str, str]:
    """What the section Parameters says of each, in one line."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=\S)", parameters, flags=re.MULTILINE):
        head, _, text = part.partition("\n")
        for name in head.partition(" :")[0].split(", "):
            found[name.strip()] = " ".join(text.split())
    return found
