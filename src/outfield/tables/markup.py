"""Tables within Markdown and LaTeX, and their cells without markup."""

from __future__ import annotations

import html
import re

from outfield.errors import UserError, listed

BETWEEN = {".md": re.compile(r"(?<!\\)\|"), ".tex": re.compile(r"(?<!\\)&")}
"""What stands between the cells of a table, by the ending of its file."""
RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?")
"""The line below the header of a Markdown table."""
TABULAR = re.compile(r"\\begin\{(tabular|longtable|array)")
TAG = re.compile(r"</?[A-Za-z][^<>]*>")
LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
BOLD = re.compile(r"(\*\*|`)(.+)\1")
CITED = re.compile(r"~?\s*\\(cite\w*|ref|footnote)\s*(\[[^\]]*\])?\{[^{}]*\}")
DRESSED = re.compile(r"\\(textbf|textit|textsc|underline|mathbf|emph|text)\{([^{}]*)\}")
ARROWS = {r"\uparrow": "↑", r"\downarrow": "↓", r"\%": "%", r"\_": "_", r"\&": "&", r"\|": "|"}
END = re.compile(r"\s*\\\\(\[[^\]]*\])?\s*(\\(hline|(top|mid|bottom)rule))?\s*$")

Line = tuple[int, list[str]]
"""The number of a line in its file, and its cells."""


def unmarked(cell: str) -> str:
    r"""A cell without HTML, links, citations and type, and without blanks around it.

    Examples
    --------
    >>> [unmarked(cell) for cell in ("<b>o1</b>", "[o1](../openai/o1.md)", "**Model**", r"\textbf{SIN}~\cite{a}")]
    ['o1', 'o1', 'Model', 'SIN']
    """
    if "<" in cell or "&" in cell:
        cell = html.unescape(TAG.sub("", cell))
    if "[" in cell:
        cell = LINK.sub(r"\1", cell)
    if "\\" in cell:
        cell = DRESSED.sub(r"\2", CITED.sub("", cell))
        for written, sign in ARROWS.items():
            cell = cell.replace(f"${written}$", sign).replace(written, sign)
    bold = BOLD.fullmatch(cell.strip())
    return bold[2].strip() if bold and bold[1] not in bold[2] else cell.strip()


def in_text(text: str, between: re.Pattern[str], name: str) -> tuple[list[Line], list[tuple[str, str, str]]]:
    r"""The lines of the one table in a text, as cells, and what stands beside it.

    Raises
    ------
    UserError
        There are several tables.

    Examples
    --------
    >>> in_text("Ours:\n| net | acc |\n|--|--|\n| a | 1 |\n", BETWEEN[".md"], "t.md")
    ([(2, ['net', 'acc']), (3, ['--', '--']), (4, ['a', '1'])], [('row', 'line 1: Ours:', 'text beside the table')])
    """
    lines = list(enumerate(text.splitlines(), 1))
    _one_table(lines, name)
    table = [(number, between.split(_bare(line))) for number, line in lines if between.search(line)]
    found = [(number, [cell.strip() for cell in cells]) for number, cells in table]
    beside = [(number, line.strip()) for number, line in lines if line.strip() and not between.search(line)]
    return found, [("row", f"line {number}: {line[:60]}", "text beside the table") for number, line in beside]


def _bare(line: str) -> str:
    """A line without the bars at its ends, and the end of a row in LaTeX."""
    return END.sub("", line.strip()).removeprefix("|").removesuffix("|")


def _one_table(lines: list[tuple[int, str]], name: str) -> None:
    begins = [number for number, line in lines if RULE.fullmatch(line.strip()) or TABULAR.search(line)]
    if len(begins) > 1:
        raise UserError(
            f"Expected one table in {name}, but it holds {len(begins)} (lines {listed(list(map(str, begins)))}). Save "
            "the one that you mean in a file of its own."
        )
