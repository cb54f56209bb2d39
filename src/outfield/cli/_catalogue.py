"""The page that groups what outfield brings by the tree of the survey of generalised OOD detection, as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from outfield import registry, tags
from outfield.cli import _pages
from outfield.cli._pages import Page
from outfield.errors import UserError, singular

HEAD = """\
# Catalogue

What outfield brings, by the tasks that it serves: the tree of *Generalized Out-of-Distribution Detection and Beyond in
Vision Language Model Era: A Survey* (Miyai et al. 2025). The tasks differ in what shifts, in whether known classes are
still told apart, and in whether all data are there from the start. A plug-in stands under each task that it serves.

Tags come from what a class declares. A detector that reads no classes also finds anomalies and novelties. One that
reads values of a model alone takes any input. Those that carry every tag asked for are listed by, say,
`outfield list detectors --task novelty --modality tokens --needs features`.

This page is made: `outfield list catalogue > docs/catalogue.md`.
"""
TREE = (
    ("How things look has changed: covariate shift", ("sensory-anomaly",)),
    ("What is seen has changed, and the known classes need not be told apart", ("anomaly", "novelty")),
    ("What is seen has changed, and the known classes are told apart", ("open-set", "ood")),
    ("All data are there at once", ("outlier",)),
)
"""The survey's branches and the tasks that hang on them."""
COLUMNS = "| name | kind | needs | inputs | what it is (paper) |\n| --- | --- | --- | --- | --- |"


def tags_of(page: Page) -> tags.Tags:
    """The tags of a plug-in, from its source."""
    return tags.derived(page.kind, page.values)


def kept(kind: str, pages: Collection[Page], *, task: str, modality: str, needs: Collection[str]) -> list[Page]:
    """The plug-ins of a kind that carry every tag that is asked for.

    Raises
    ------
    UserError
        The kind carries no tags, or a tag is not known.
    """
    if not (task or modality or needs):
        return list(pages)
    if kind not in tags.TAGGED or (needs and kind != "detectors"):
        of = "detectors" if needs and kind in tags.TAGGED else ", ".join(tags.TAGGED)
        raise UserError(f"Expected a kind with such tags ({of}), but got {kind or 'none'!r}. Name one of them.")
    _check("task", task, (*tags.TASKS, "any"))
    _check("modality", modality, tags.MODALITIES)
    found = {page.name: tags_of(page) for page in pages}
    known = frozenset().union(*(one.needs for one in found.values()))
    for need in needs:
        _check("need", need, sorted(known))
    return [page for page in pages if found[page.name].has(task, modality, needs)]


def _check(name: str, value: str, known: Collection[str]) -> None:
    if value and value not in known:
        raise UserError(f"Expected a {name} among {', '.join(known)}, but got {value!r}. Choose one of them.")


def written(only: Collection[tuple[str, str]] | None = None) -> str:
    """The page, of all plug-ins of outfield's own or of the given ones (kind, name) alone."""
    pages = [
        _pages.page(kind, name)
        for kind in tags.TAGGED
        for name in registry.own(kind)
        if only is None or (kind, name) in only
    ]
    parts = [HEAD, *_branches([page for page in pages if page.kind != "sources"])]
    parts += ["## Data for each of these tasks\n", _table([page for page in pages if page.kind == "sources"])]
    return "\n".join(parts)


def named(page: str) -> set[tuple[str, str]]:
    """The plug-ins (kind, name) that a written page holds."""
    kinds = {singular(kind): kind for kind in tags.TAGGED}
    cells = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {(kinds[kind], name.removeprefix("| ").strip("`")) for name, kind, *_ in cells}


def _branches(pages: Collection[Page]) -> Iterator[str]:
    for branch, tasks in TREE:
        yield f"## {branch}\n"
        for task in tasks:
            title, _, what = tags.TASKS[task].partition(": ")
            yield f"### {title}\n\n`--task {task}`: {what}\n"
            yield _table([page for page in pages if task in tags_of(page).tasks])


def _table(pages: Collection[Page]) -> str:
    if not pages:
        return "Nothing yet.\n"
    return "\n".join([COLUMNS, *map(_line, pages), ""])


def _line(page: Page) -> str:
    found = tags_of(page)
    what = f"{page.what} ({page.paper})" if page.paper else page.what
    cells = (f"`{page.name}`", singular(page.kind), ", ".join(sorted(found.needs)), ", ".join(sorted(found.modality)))
    return f"| {' | '.join((*cells, what.replace('|', '&#124;')))} |"
