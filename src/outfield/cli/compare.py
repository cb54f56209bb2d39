from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from outfield.reports.comparison import Comparison


def compare(
    first: Annotated[str, Argument(help="A log, card (JSON), table of items, or study; with two names, one table.")],
    second: Annotated[str, Argument(help="The same of another model; or a column or row of the table.")],
    third: Annotated[str | None, Argument(help="Another column or row of the table, or model of the study.")] = None,
    *,
    out: Annotated[
        list[Path] | None, Option("--out", "-o", help="Write .html, .md, .tex, .csv or .json; may be given again.")
    ] = None,
    id: Annotated[str | None, Option(help="Column of what an item is called.")] = None,
    group: Annotated[str | None, Option(help="Column of the document or prompt that items belong to.")] = None,
    set: Annotated[str | None, Option(help="Column of the set that an item is of.")] = None,
    metric: Annotated[list[str] | None, Option(help="A measure to compare; may be given again.")] = None,
    measure: Annotated[str | None, Option(help="What the columns of a table hold, where sets name them.")] = None,
    items: Annotated[int | None, Option(help="Items that each share in a table rests on.", min=1)] = None,
    higher: Annotated[list[str] | None, Option(help="Measure of which more is better, if unclear.")] = None,
    lower: Annotated[list[str] | None, Option(help="Measure of which less is better, if unclear.")] = None,
    correction: Annotated[str, Option(help="Of p over sets: holm or bh (Benjamini-Hochberg).")] = "holm",
) -> None:
    """Two models side by side: paired differences of logs, cards, studies, or of two columns or rows of a table."""
    from outfield.reports.comparison import compare as run
    from outfield.reports.comparison.exports import check_ending

    paths = [check_ending(path) for path in out or ()]
    given = {
        "id": id, "group": group, "set": set, "metrics": metric, "measure": measure, "items": items, "higher": higher,
        "lower": lower,
    }  # fmt: skip
    stated = {name: value for name, value in given.items() if value}
    sides = {"second": second} if third is None else {"model": second, "versus": third}
    found = run(first, **sides, **stated, correction=correction)  # type: ignore[arg-type]  # as the options say
    _show(found)
    _write(found, paths, [first, second, *([third] if third else [])], stated)


def _show(found: Comparison) -> None:
    from rich.table import Table

    from outfield.cli._console import console
    from outfield.reports.html import cell_texts

    shown = console()
    for sentence in (*found.sentences, *found.notes):
        shown.print(f"- {sentence}")
    names = {"name": "measure", "first": "first", "second": "second", "value": "differs", "low": "95% low"} | {
        "high": "high", "n": "n", "p corrected": "p", "detectable": "seen", "verdict": "second is",
    }  # fmt: skip
    columns = {name: title for name, title in names.items() if name in found.overview.columns}
    table = Table(*columns.values(), box=None, padding=(0, 1, 0, 0), caption=found.intervals, caption_justify="left")
    for column in table.columns[1:-1]:
        column.no_wrap = True
    table.columns[0].overflow = "fold"
    for row in zip(*(cell_texts(found.overview[name]) for name in columns), strict=True):
        table.add_row(*row)
    shown.print(f"First: {found.names[0]}. Second: {found.names[1]}.", style="bold")
    shown.print(table)
    if "detectable" in columns:
        shown.print("Seen: the smallest true difference that would be found with a chance of 80%.", style="dim")
    for side, what, name in found.only.iter_rows():
        shown.print(f"Only in {side}: {what} {name}.")


def _write(found: Comparison, paths: list[Path], named: list[str], stated: Mapping[str, object]) -> None:
    from shlex import quote

    from outfield.cli._plain import say
    from outfield.reports import comparison_page
    from outfield.reports.comparison import exports

    options = [
        f"--{name.removesuffix('s') if name == 'metrics' else name} {quote(str(each))}"
        for name, value in stated.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    command = " ".join(["outfield compare", *map(quote, named), *options])
    for path in paths:
        html = path.suffix.lower() == ".html"
        files = [comparison_page.write(found, path, command=command)] if html else exports.write(found, path)
        say(f"Written: {', '.join(map(str, files))}")
