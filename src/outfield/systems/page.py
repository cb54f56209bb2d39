"""The page of published systems, made of their files: ``python -m outfield.systems.page > docs/systems.md``."""

from __future__ import annotations

from collections.abc import Iterator

from outfield.systems.system import GROUPS, System, systems

INTRODUCTION = """# Published systems

Made from `src/outfield/systems/*.yaml` by `python -m outfield.systems.page`; do not edit.

Each line is a paper and what stands for it here. *Works*: its identities hold, and its behaviour shows in a test or a
study of this repository. *Identity only*: its formulae hold, and the behaviour does not show on the data that are at
hand; the figures say how far. `outfield list systems` prints the table, `outfield list systems S009` one of them.

Every detector on published networks, on images and texts, beside the figures of the OpenOOD board where it has the
same kind: [detectors on real scores](detectors-real.md). Texts: [detection on texts](text.md).
"""


def page() -> str:
    """Every system as Markdown: a table of all, and a section for each."""
    return "\n".join([INTRODUCTION, *_parts()]).rstrip("\n") + "\n"


def _parts() -> Iterator[str]:
    for group, title in GROUPS.items():
        found = [one for one in systems() if one.group == group]
        if found:
            yield from (f"## {title}", "", "| | system | paper | status | here |", "| --- | --- | --- | --- | --- |")
            yield from (_row(one) for one in found)
            yield ""
            yield from (line for one in found for line in section(one))


def _row(one: System) -> str:
    name = f"[{_cell(one.name)}](#{one.id.lower()})"
    return f"| {one.id} | {name} | {_cell(one.paper)} | {one.status} | {_cell(parts_of(one))} |"


def parts_of(one: System) -> str:
    """The plug-ins and studies that stand for a system, in a line."""
    named = [f"{kind}: {', '.join(names)}" for kind, names in one.parts.items()]
    return "; ".join([*named, *one.studies])


def section(one: System) -> Iterator[str]:
    """Lines of Markdown on one system."""
    yield from (f'<a id="{one.id.lower()}"></a>', f"### {one.id} {one.name}", "", f"{one.title}. {one.paper}.", "")
    yield from (one.here, "", f"*Measured.* {one.measured}", "")
    if one.corrected:
        yield from (f"*From the source.* {one.corrected}", "")
    yield from (f"Tests: {', '.join(f'`{test}`' for test in one.tests)}", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
