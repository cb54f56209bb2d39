"""Findings as a page shows them: one entry a code, its sentences, and what the documentation says about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from outfield.errors import OutfieldError
from outfield.reports.findings.base import TITLES, Finding

PLACES = (Path(__file__).with_name("pages"), Path(__file__).parents[4] / "docs" / "findings")
"""Where the documentation's pages are: in an installed package, and in the repository."""


@dataclass(frozen=True)
class Told:
    """All findings of one code.

    Parameters
    ----------
    code, severity, title : str
    sentences : tuple of str
    about : str
        The documentation's page as HTML, headings below those of a report's section.
    """

    code: str
    severity: str
    title: str
    sentences: tuple[str, ...]
    about: str


def told(findings: Iterable[Finding]) -> list[Told]:
    """Findings by code, in their order.

    Examples
    --------
    >>> found = told([Finding("OF006", "warning", "a has 9 items."), Finding("OF006", "warning", "b has 8 items.")])
    >>> len(found), found[0].sentences, "What to do" in found[0].about
    (1, ('a has 9 items.', 'b has 8 items.'), True)
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.code, each.severity), []).append(each)
    return [
        Told(*key, found[0].title, tuple(each.sentence for each in found), _about(found[0]))
        for key, found in groups.items()
    ]


def _about(finding: Finding) -> str:
    """The documentation's page of a code of outfield's; of another's the text that came with it."""
    return about(finding.code) if finding.code in TITLES else _html(finding.about)


def page(code: str) -> str:
    """The documentation's page about a code, as Markdown.

    Raises
    ------
    OutfieldError
        There is no such page in this installation.

    Examples
    --------
    >>> page("OF001").partition(":")[0]
    '# OF001'
    """
    for place in PLACES:
        if (path := place / f"{code}.md").is_file():
            return path.read_text(encoding="utf-8")
    raise OutfieldError(f"Expected the page {code}.md in one of {', '.join(map(str, PLACES))}. Install outfield again.")


@cache
def about(code: str) -> str:
    """That page as HTML, without its title and severity, which stand beside the finding."""
    _, _, body = page(code).partition("\n## ")
    text = re.sub(r"^## ", "#### ", f"## {body}", flags=re.MULTILINE)
    return _html(text)


def _html(text: str) -> str:
    return str(MarkdownIt("commonmark", {"html": False}).render(text))
