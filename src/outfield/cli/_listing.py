"""What ``outfield list`` prints."""

from __future__ import annotations

import ast
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, cast

from outfield import registry, tags
from outfield.cli import _catalogue, _pages
from outfield.cli._pages import Page, Parameter
from outfield.errors import UnknownName, UserError, singular

Line = tuple[str, ...]

WIDEST = 100
"""Columns of running text, at most: longer lines are hard to read."""
KINDS = {
    "detectors": "Scores that tell OOD inputs from ID inputs.",
    "strategies": "Ways to train a model.",
    "sources": "Where data come from: folders, files, the hub, shipped sets.",
    "shifts": "Covariate shifts of pictures, in five severities.",
    "synthetic": "Pictures that hold no object: unit tests.",
    "metrics": "What is measured of scores and predictions.",
    "probes": "What detectors ask a model beyond its forward pass.",
    "networks": "Architectures that a study trains or reads weights into.",
    "executors": "Where the work of a study runs.",
    "tasks": "What is learned, where it is tested, and what counts as good.",
    "estimators": "How accurate a classifier is on data without labels.",
    "analyses": "Questions that a report puts to the rows: findings, tables, pictures.",
}
OTHERS = {
    "models": "Models that can be brought: addresses, files and objects, and networks.",
    "datasets": "Data that ship, and files that can be read.",
    "tables": "Published tables of results whose reading is known.",
    "systems": "Published systems: the paper, what stands for it here, what was measured.",
}
ADDRESSES = (
    ("timm:NAME", "vision", "A picture classifier of timm, by name or from a folder: timm:resnet18.a1_in1k."),
    ("hf:NAME", "text", "A picture or text classifier of transformers, by its name on the hub or from a folder."),
    (
        "clip:NAME",
        "",
        "Two towers, of pictures and of texts, with a head of class names: clip:mini, or a folder of CLIP.",
    ),
    ("onnx:FILE", "onnx", "A classifier in ONNX: onnx:net.onnx, or net.onnx alone."),
    ("sklearn:FILE", "sklearn", "A fitted model of scikit-learn, stored by skops: sklearn:forest.skops."),
    ("FILE.pth", "", "A file of weights (.pth, .ckpt, .safetensors) with the network they belong to: --network."),
    ("weights:FILE", "", "Weights alone: weights:net.pth, or net.pth, .ckpt, .safetensors alone, with --network."),
    ("FILE.py:FUNCTION", "", "Any model: a function without arguments that returns a module or a fitted model."),
)
"""Models that can be brought: address, the extra that it needs, and what it is."""
BETTER: dict[Any, str] = {True: "higher", False: "lower"}
MADE = ("part", "shifted")
"""Sources that are made of another."""


def shown(
    kind: str = "",
    name: str = "",
    width: int | None = None,
    *,
    task: str = "",
    modality: str = "",
    needs: Collection[str] = (),
) -> str:
    """The overview, the lines of a kind (of those that carry the tags asked for), or the page of one.

    Where the output is no terminal each line is whole, so that its first word is a name for scripts.

    Raises
    ------
    UnknownName
        There is no such kind, or no such one of it.
    UserError
        Tags that are not known, or of a kind that carries none.
    """
    width = width or terminal()
    if task or modality or needs:
        return _tagged(kind, name, width, task=task, modality=modality, needs=needs)
    if kind in WHOLE:
        return WHOLE[kind](width)
    if kind not in (*KINDS, *OTHERS, "kinds"):
        raise UnknownName("kinds", kind, (*KINDS, *OTHERS), listable=True)
    if kind == "kinds":
        return shown(name, width=width) if name else columns(list(_kinds()), width)
    if name:
        return PAGES.get(kind, _plugin_page)(kind, name, width or WIDEST)
    lines = list(LINES.get(kind, _plain)(kind))
    if width is None or not lines:
        return columns(lines, width)
    more = f"More of one: outfield list {kind} {'resnet_cifar' if kind == 'models' else lines[0][0]}"
    return "\n".join([columns([HEADS.get(kind, HEADS[""]), *lines], width), "", _wrapped(more, width)])


def _tagged(kind: str, name: str, width: int | None, *, task: str, modality: str, needs: Collection[str]) -> str:
    if name:
        raise UserError(f"Expected tags of a whole kind, but got the name {name!r} beside them. Leave one of both out.")
    pages = _pages.pages(kind) if kind in tags.TAGGED else []
    kept = {one.name for one in _catalogue.kept(kind, pages, task=task, modality=modality, needs=needs)}
    lines = [line for line in LINES.get(kind, _plain)(kind) if line[0] in kept]
    if not lines:
        return f"No {singular(kind)} carries all these tags."
    return columns([*([HEADS.get(kind, HEADS[""])] if width else []), *lines], width)


def _plugin_page(kind: str, name: str, width: int) -> str:
    return told(_pages.page({"datasets": "sources", "models": "networks"}.get(kind, kind), name), width)


def _overview(width: int | None) -> str:
    """Every kind and the names of it."""
    lines = [f"{kind} ({len(registry.names(kind))}): {', '.join(registry.names(kind))}" for kind in registry.kinds()]
    if width is None:
        return "\n".join(lines)
    more = "One kind, a line each: outfield list detectors. One of them: outfield list detectors rmds."
    also = f"Also: {', '.join(f'outfield list {kind}' for kind in (*OTHERS, 'kinds'))}."
    return "\n".join(
        [*(_wrapped(line, width, "  ") for line in lines), "", _wrapped(more, width), _wrapped(also, width)]
    )


def _kinds() -> Iterator[Line]:
    for kind, what in KINDS.items():
        yield kind, str(len(registry.names(kind))), what
    for kind, what in OTHERS.items():
        yield kind, "", what


def _plain(kind: str) -> Iterator[Line]:
    for page in _pages.pages(kind):
        yield page.name, _what(page)


def _detectors(kind: str) -> Iterator[Line]:
    for page in _pages.pages(kind):
        asked = "" if page.values.get("by_default", True) else ". By name alone"
        needs = _listed(page.values.get("needs", ()))
        yield page.name, str(page.values.get("information", "")), needs, _what(page) + asked


def _strategies(kind: str) -> Iterator[Line]:
    for page in _pages.pages(kind):
        yield page.name, str(page.values.get("family", "")), _what(page)


def _metrics(kind: str) -> Iterator[Line]:
    for page in _pages.pages(kind):
        yield page.name, BETTER.get(page.values.get("higher_is_better"), ""), _what(page)


def _models(_: str) -> Iterator[Line]:
    for address, extra, what in ADDRESSES:
        yield address, what + (f" Needs outfield[{extra}]." if extra else "")
    for page in _pages.pages("networks"):
        yield page.name, f"Network: {_what(page)}"


def _datasets(_: str) -> Iterator[Line]:
    pages = sorted(
        _pages.pages("sources"), key=lambda page: (("ships", "yours", "made").index(_origin(page)), page.name)
    )
    for page in pages:
        yield page.name, _origin(page), _what(page)


def _tables(_: str) -> Iterator[Line]:
    from outfield.tables import profile

    shipped = profile.examples()
    for found in map(profile.load, profile.names()):
        yield found.name, "ships" if found.name in shipped else "yours", f"{found.title} ({found.licence})"


def _table_page(_: str, name: str, width: int) -> str:
    """Whose a published table is, what to know of it, and how it is analysed."""
    return "\n".join(_wrapped(line, min(width, WIDEST), "  ") for line in _known_table(name))


def _known_table(name: str) -> Iterator[str]:
    from outfield.tables import profile

    found = profile.load(name)
    yield f"{name}: {found.cited}"
    if found.studies:
        yield f"Studies (--study): {', '.join(found.studies)}"
    yield from (f"* {note}" for note in (*found.notes, found.extract_note) if note)
    yield f"Published files: outfield analyse FOLDER --profile {name}"
    if name in profile.examples():
        yield f"What ships: outfield analyse --example {name}"


def _systems(_: str) -> Iterator[Line]:
    from outfield.systems.page import parts_of
    from outfield.systems.system import systems

    for one in systems():
        yield one.id, one.status, f"{one.name} ({one.paper}). {parts_of(one)}".rstrip()


def _system_page(_: str, name: str, width: int) -> str:
    """A published system, found by its number, its name, a part or words of its title."""
    from outfield.systems.page import parts_of
    from outfield.systems.system import find

    one = find(name)
    said = {"Here": one.here, "Parts": parts_of(one), "Status": one.status, "Measured": one.measured}
    said |= {"From the source": one.corrected, "Tests": "\n".join(one.tests)}
    lines = [f"{one.id}: {one.name}. {one.title}. {one.paper}."]
    lines += [f"{head}: {text}" for head, text in said.items() if text]
    return "\n".join(_wrapped(line, min(width, WIDEST), "  ") for text in lines for line in text.splitlines())


def _origin(page: _pages.Page) -> str:
    """Sources that need nothing ship with a package; all but those that are made of another read what is yours."""
    if page.name in MADE:
        return "made"
    return "yours" if any(one.default is None for one in page.parameters) else "ships"


LINES: dict[str, Callable[[str], Iterator[Line]]] = {
    "detectors": _detectors,
    "strategies": _strategies,
    "metrics": _metrics,
    "models": _models,
    "datasets": _datasets,
    "tables": _tables,
    "systems": _systems,
}


WHOLE: dict[str, Callable[[int | None], str]] = {
    "": _overview,
    "catalogue": lambda _: _catalogue.written().rstrip("\n"),
}
PAGES: dict[str, Callable[[str, str, int], str]] = {"tables": _table_page, "systems": _system_page}
HEADS: dict[str, Line] = {
    "": ("NAME", "WHAT IT IS (PAPER)"),
    "detectors": ("NAME", "RESTS ON", "NEEDS", "WHAT IT IS (PAPER)"),
    "strategies": ("NAME", "FAMILY", "WHAT IT IS (PAPER)"),
    "metrics": ("NAME", "BETTER", "WHAT IT IS (PAPER)"),
    "datasets": ("NAME", "FROM", "WHAT IT IS (PAPER)"),
    "tables": ("NAME", "FROM", "WHAT IT IS (LICENCE)"),
    "systems": ("NUMBER", "STATUS", "WHAT IT IS (PAPER), AND WHAT STANDS FOR IT"),
}
"""What stands above the columns on a terminal."""


def _what(page: Page) -> str:
    return " ".join(part for part in (page.what, f"({page.paper})" if page.paper else "") if part)


def _listed(found: Collection[str]) -> str:
    return ", ".join(sorted(found)) if not isinstance(found, str) else found


def terminal() -> int | None:
    """Columns of the terminal; None where the output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(lines: Sequence[Line], width: int | None) -> str:
    """Lines with their columns below each other, the last one broken where the terminal ends."""
    sizes = [max(map(len, column)) for column in zip(*(line[:-1] for line in lines), strict=True)]
    made = []
    for line in lines:
        before = "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=False)) + "  "
        whole = (before + line[-1]).rstrip()
        made.append(whole if width is None else _wrapped(whole, width, " " * len(before)))
    return "\n".join(made)


def _wrapped(text: str, width: int, indent: str = "") -> str:
    width = max(width, len(indent) + 20)
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def told(page: Page, width: int) -> str:
    """The page of a plug-in."""
    width = min(width, WIDEST)
    if not page.cls:
        return f"{page.name}: {_one(page.kind)} of another package, whose source cannot be found."
    parts = [f"{page.name}: {page.cls}, {_one(page.kind)}", *_prose(page.sections.get("", ""), width)]
    parts += [_facts(page, width), _parameters(page, width)]
    for head, text in page.sections.items():
        if head == "Examples":
            parts.append(f"{head}\n{textwrap.indent(text, '  ')}")
        elif head not in ("", "Parameters", "References"):
            said = _pages.said_of(text.replace("``", ""))
            parts.append(f"{head}\n{columns([(f'  {name}', one) for name, one in said.items() if name], width)}")
    if page.references:
        parts.append("\n".join(["Papers", *(_wrapped(f"  {one}", width, "      ") for one in page.references)]))
    parts.append(f"In a study file\n{textwrap.indent(in_study(page), '  ')}")
    parts.append(f"In Python\n  {in_python(page)}")
    return "\n\n".join(part for part in parts if part)


def _one(kind: str) -> str:
    name = singular(kind)
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _prose(text: str, width: int) -> Iterator[str]:
    for paragraph in text.replace("``", "").split("\n\n"):
        lists = any(line.startswith(("  ", "* ", "- ", "=")) for line in paragraph.splitlines())
        yield _lines(paragraph, width) if lists else _wrapped(" ".join(paragraph.split()), width)


def _lines(paragraph: str, width: int) -> str:
    """Lines of their own, each broken where the terminal ends."""
    depths = ((line, len(line) - len(line.lstrip())) for line in paragraph.splitlines())
    return "\n".join(line if len(line) <= width else _wrapped(line, width, " " * (depth + 2)) for line, depth in depths)


WIDE_PARAMETER = 40
FACTS = {
    "information": "Rests on",
    "question": "Asks",
    "needs": "Needs",
    "modality": "Inputs",
    "items": "Items",
    "tasks": "Tasks",
    "fits_on": "Fitted on",
    "fits_with": "Fitted with",
    "family": "Family",
    "label": "Shown as",
    "higher_is_better": "Higher is better",
    "passes": "Passes of a model",
    "by_default": "By default",
    "grid": "Grid of a tuning",
    "bounds": "Bounds",
    "limits": "Bounds",
}
"""Class attributes and what the page calls them."""


def _facts(page: Page, width: int) -> str:
    rows = [(head, _fact(page.values[name])) for name, head in FACTS.items() if page.values.get(name) not in (None, {})]
    return columns([row for row in rows if row[1]], width) if rows else ""


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_several(values)}" for name, values in value.items())
    return _listed(value) if isinstance(value, (frozenset, tuple)) else str(value)


def _several(values: object) -> str:
    """Values beside each other; of an expression, the expression."""
    return values.strip("()[]") if isinstance(values, str) else ", ".join(map(str, cast("tuple[object, ...]", values)))


def _parameters(page: Page, width: int) -> str:
    if not page.parameters:
        return "Parameters: none"
    said = _pages.said_of(page.sections.get("Parameters", ""))
    rows = [_parameter(one, said.get(one.name, "").replace("``", "")) for one in page.parameters]
    return f"Parameters\n{columns(rows, width)}"


def _parameter(one: Parameter, said: str) -> tuple[str, str]:
    """Name with its default, and what it is; a long default stands with what it is."""
    signed = _signed(one)
    if len(signed) <= WIDE_PARAMETER:
        return f"  {signed}", said
    return f"  {one.name}", f"= {one.default}. {said}".rstrip()


def _signed(one: Parameter) -> str:
    return f"{one.name} (required)" if one.default is None else f"{one.name} = {one.default}"


def _given(page: Page) -> dict[str, str]:
    """Parameters for an example: those that must be given, and the plug-in's own first ones."""
    plain = [one for one in page.parameters if one.default is None or _literal(one.default)]
    asked = [one for one in plain if one.default is None]
    own = [one for one in plain if one.default is not None and f"{one.name} :" in page.sections.get("Parameters", "")]
    return {one.name: one.default or one.name.upper() for one in [*asked, *own[:2]]}


def _literal(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), (int, float, str))
    except ValueError:
        return False


def in_python(page: Page) -> str:
    """How it is made in Python."""
    words = [repr(page.kind), repr(page.name)]
    quoted = ", ".join([*(word.replace("'", '"') for word in words), *(f"{k}={v}" for k, v in _given(page).items())])
    return f"outfield.create({quoted})"


OOD = "ood:\n  - name: {}\n    category: {}\n    source: "


def in_study(page: Page) -> str:
    """How a study file names it."""
    known = ("classes",) if page.kind == "networks" else ()
    given = "".join(f", {name}: {value}" for name, value in _given(page).items() if name not in known)
    plugin = f"{{name: {page.name}{given}}}" if given else page.name
    return {
        "detectors": f"detectors:\n  - {plugin}",
        "strategies": f"models:\n  - strategy: {plugin}\n    seeds: [0, 1, 2]",
        "sources": f"{OOD.format('letters', 'near')}{plugin}",
        "shifts": f"shifts:\n  - shift: {plugin}\n    severities: [1, 2, 3, 4, 5]",
        "synthetic": f"{OOD.format('drawn', 'synthetic')}{{name: synthetic, names: [{page.name}]}}",
        "networks": f"network: {plugin}",
        "executors": f"resources:\n  executor: {page.name}",
        "tasks": f"task: {plugin}",
        "metrics": "Every metric that fits is measured; a study file names none.",
        "estimators": "Each that applies is asked: outfield.guard.accuracy.estimate_accuracy(...).",
        "probes": "A detector asks for it; a study file names none.",
        "analyses": "Every report shows it where its rows are; a study file names none.",
    }[page.kind]
